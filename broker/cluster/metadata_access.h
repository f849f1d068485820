// metadata_access.h: reading records out of the metadata store, and making the paths they need.
#pragma once

#include "broker/base/json.h"
#include "broker/env/cores.h"
#include "broker/env/metadata_store.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::cluster {

template <class Record>
struct Versioned {
  Record record;
  std::int32_t version = -1;
};

// The record at `path`; none when there is no such znode. A znode without data is a record of defaults. Fails
// CorruptFile, with the path, when the data is not such a record.
template <class Record>
Task<Result<std::optional<Versioned<Record>>>> read_record(env::MetadataStore& store, std::string path) {
  auto znode = co_await store.get(path);
  if (!znode && znode.error().code == ErrorCode::kNotFound) co_return std::optional<Versioned<Record>>();
  if (!znode) co_return fail(std::move(znode).error());
  Versioned<Record> out;
  out.version = znode->version;
  if (!znode->data.empty()) {
    auto record = from_json<Record>(znode->data);
    if (!record) co_return fail(ErrorCode::kCorruptFile, path + ": " + record.error().context);
    out.record = *std::move(record);
  }
  co_return std::optional<Versioned<Record>>(std::move(out));
}

// Names below `path`; none when there is no such znode.
Task<Result<std::vector<std::string>>> children_or_none(env::MetadataStore& store, std::string path);

// Creates `path` with empty data, and what is missing above it. Somebody else doing the same is no failure.
Task<Result<void>> ensure_path(env::MetadataStore& store, std::string path);

// `path` and all below it, children before parents.
Task<Result<std::vector<std::string>>> subtree(env::MetadataStore& store, env::Cores& cores, std::string path);

}  // namespace forelog::cluster
