// failing_writes.h: which partitions refuse appends because their segments cannot be written, on all cores.
//
// The write-ahead log may still have room in files that it overwrites when segments no longer can grow: then the log
// works and some partitions do not. Whoever asks whether this broker is ready wants to know. Any core.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"

#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace forelog::log {

class FailingWrites {
 public:
  void failed(PartitionKey partition, const Error& error) {
    std::lock_guard lock(mutex_);
    errors_.insert_or_assign(partition, error.text());
  }
  // It writes again, or is closed.
  void ended(PartitionKey partition) {
    std::lock_guard lock(mutex_);
    errors_.erase(partition);
  }
  // How many there are, and what one of them says; nothing when all can be written.
  std::optional<std::string> text() const {
    std::lock_guard lock(mutex_);
    if (errors_.empty()) return std::nullopt;
    return "segments of " + std::to_string(errors_.size()) +
           " partition(s) cannot be written: " + errors_.begin()->second;
  }

 private:
  mutable std::mutex mutex_;
  std::map<PartitionKey, std::string> errors_;
};

}  // namespace forelog::log
