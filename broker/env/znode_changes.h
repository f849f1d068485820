// znode_changes.h: the rules of MetadataStore::commit, for stores that keep the tree themselves. Pure.
#pragma once

#include "broker/env/metadata_store.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::env {

struct StoredZnode {
  Znode znode;
  std::int32_t children = 0;
  bool ephemeral = false;
};

// Znodes by path as they are, or would be; nothing where there is none.
using Znodes = std::map<std::string, std::optional<StoredZnode>>;

bool is_znode_path(std::string_view path);  // "/", or "/a/b" without empty parts
std::string parent_of(std::string_view path);
std::string name_of_znode(std::string_view path);

// What `commit` must know to decide about `ops`: their paths and the paths above each.
std::set<std::string> znodes_needed(const std::vector<MetadataOp>& ops);

// Applies `ops` in order to `znodes`, which holds at least `znodes_needed(ops)`, all or none. Adds to `changed` what it
// touched. "/" always exists. A znode with children is not removed, and an ephemeral one gets none: Conflict.
Result<void> apply_ops(const std::vector<MetadataOp>& ops, Znodes& znodes, std::set<std::string>& changed);

// Whether a znode differs from what a waiter knows of it.
bool differs(const std::optional<StoredZnode>& znode, MetadataStore::Known known);

}  // namespace forelog::env
