#include "broker/archive/failure_log.h"

#include "broker/base/log.h"

#include <utility>

namespace forelog::archive {
namespace {

constexpr Duration kShardSilence = 60s;
constexpr Duration kLineInterval = 1s;
constexpr std::size_t kShardsSweep = 1024;  // remembered shards above which those that may be named again are dropped

bool concerns_one_shard(ErrorCode code) {
  return code == ErrorCode::kCorruptBlock || code == ErrorCode::kCorruptFile || code == ErrorCode::kNotFound;
}

}  // namespace

void FailureLog::note(const ShardId& shard, const Error& error, Instant now) {
  if (error.code == ErrorCode::kStopping) return;
  if (silent_until_.size() >= kShardsSweep) {
    std::erase_if(silent_until_, [now](const auto& entry) { return entry.second <= now; });
  }
  auto [at, is_new] = silent_until_.try_emplace(shard, now);
  bool one_shard = concerns_one_shard(error.code);
  if (at->second > now || (!one_shard && next_line_ > now)) {
    ++left_out_;
    return;
  }
  at->second = now + kShardSilence;
  if (!one_shard) next_line_ = now + kLineInterval;
  log_line(warn, "archive_read_failed",
           {{"shard", shard}, {"error", error}, {"left_out", std::exchange(left_out_, 0)}});
}

}  // namespace forelog::archive
