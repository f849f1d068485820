// failure_log.h: says in the log which shards cannot be read, without a line for each try.
//
// A client asks again every few milliseconds, and an archive that is away fails every shard. So a shard is named once
// in a while, and failures that concern the archive as a whole get one line a second, with the number of those left
// out. What is rotten or missing concerns one shard, and is always named.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

#include <cstdint>
#include <unordered_map>

namespace forelog::archive {

class FailureLog {
 public:
  // Logs `error`, which says what of `shard` could not be read, or counts it as left out.
  void note(const ShardId& shard, const Error& error, Instant now);

 private:
  std::unordered_map<ShardId, Instant> silent_until_;
  Instant next_line_ = Instant::min();  // about the archive as a whole
  std::int64_t left_out_ = 0;
};

}  // namespace forelog::archive
