// local_store.h: small ordered key-value data of this broker, durable (LevelDB). Keys and values are bytes.
#pragma once

#include "broker/base/result.h"
#include "broker/env/task.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace forelog::env {

// Changes that happen all or none, in order.
struct StoreBatch {
  struct Change {
    std::string key;
    std::optional<std::string> value;  // none: delete
  };
  std::vector<Change> changes;
  void put(std::string key, std::string value) { changes.push_back({std::move(key), std::move(value)}); }
  void erase(std::string key) { changes.push_back({std::move(key), std::nullopt}); }
};

enum class Durability : std::uint8_t { synced, written };  // on the disk when done; lost only with the machine

class LocalStore {
 public:
  virtual ~LocalStore() = default;
  virtual Task<Result<std::optional<std::string>>> get(std::string key) = 0;
  virtual Task<Result<void>> commit(StoreBatch batch, Durability durability) = 0;
  // Entries with `from` <= key < `to` in key order (an empty `to` is the end), at most `limit`.
  using Entries = std::vector<std::pair<std::string, std::string>>;
  virtual Task<Result<Entries>> scan(std::string from, std::string to, std::size_t limit) = 0;
};

}  // namespace forelog::env
