// metadata_store.h: the cluster's shared, versioned tree: ZooKeeper, or an embedded store for a single broker.
//
// Paths are ZooKeeper's: "/a/b", no trailing slash. Every write is a compare-and-set. Watching is level-triggered: wait
// until the version differs from the one I know.
#pragma once

#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/task.h"

#include <cstdint>
#include <string>
#include <vector>

namespace forelog::env {

struct Znode {
  std::string data;
  std::int32_t version = 0;           // of the data; 0 when created, +1 with each set
  std::int32_t children_version = 0;  // +1 with each child created or deleted
};

struct MetadataOp {
  enum class Kind : std::uint8_t { create, create_ephemeral, set, remove, check };
  Kind kind = Kind::create;
  std::string path;
  std::string data;
  std::int32_t version = -1;  // expected; -1: any

  static MetadataOp create(std::string path, std::string data) {
    return {Kind::create, std::move(path), std::move(data), -1};
  }
  // Gone when this broker's session ends.
  static MetadataOp create_ephemeral(std::string path, std::string data) {
    return {Kind::create_ephemeral, std::move(path), std::move(data), -1};
  }
  static MetadataOp set(std::string path, std::string data, std::int32_t version) {
    return {Kind::set, std::move(path), std::move(data), version};
  }
  static MetadataOp remove(std::string path, std::int32_t version) {
    return {Kind::remove, std::move(path), {}, version};
  }
  static MetadataOp check(std::string path, std::int32_t version) {
    return {Kind::check, std::move(path), {}, version};
  }
};

class MetadataStore {
 public:
  virtual ~MetadataStore() = default;

  virtual Task<Result<Znode>> get(std::string path) = 0;                          // NotFound
  virtual Task<Result<std::vector<std::string>>> children(std::string path) = 0;  // names, sorted; NotFound
  // All or none. Conflict: a version differs. AlreadyExists, NotFound (also: a parent is missing). Durable when done.
  virtual Task<Result<void>> commit(std::vector<MetadataOp> ops) = 0;

  // What of a znode to wait for. -1 stands for "did not exist when I looked".
  struct Known {
    std::int32_t version = -1;
    std::int32_t children_version = -1;
  };
  // Returns when the znode's versions differ from `known` (or it came, or went), or at the deadline: true, false.
  virtual Task<Result<bool>> wait_for_change(std::string path, Known known, Deadline deadline) = 0;
};

}  // namespace forelog::env
