#include "broker/log/shard_cutter.h"

#include "broker/base/limits.h"

#include <algorithm>

namespace forelog::log {
namespace {

// Relative offsets in the index are 32 bits.
constexpr std::int64_t kOffsetsMax = INT32_MAX;

bool older_than(std::int64_t from_ms, std::int64_t to_ms_, Duration age) {
  std::int64_t waited = 0;
  if (__builtin_sub_overflow(to_ms_, from_ms, &waited)) return to_ms_ > from_ms;
  return waited > to_ms(age);
}

// What is to be compacted in time must be sealed in time, as in Kafka.
Duration age_max(const TopicSettings& settings) {
  return settings.compacts() ? std::min(settings.segment_age, settings.max_compaction_lag) : settings.segment_age;
}

}  // namespace

std::string_view name_of(CutReason reason) {
  switch (reason) {
    case CutReason::size:
      return "size";
    case CutReason::age:
      return "age";
    case CutReason::epoch:
      return "epoch";
    case CutReason::position:
      return "position";
    case CutReason::offsets:
      return "offsets";
  }
  return "?";
}

std::optional<CutReason> cut_before(const ShardDescriptor& open, const Incoming& next, const TopicSettings& settings,
                                    WallTime now) {
  if (open.end == open.base) return std::nullopt;
  if (!open.epochs.empty() && next.epoch > open.epochs.back().epoch) return CutReason::epoch;
  if (open.size + next.size > kShardSizeMax) return CutReason::position;
  if (open.size + next.size > settings.segment_bytes) return CutReason::size;
  if (open.end - open.base + next.offsets > kOffsetsMax) return CutReason::offsets;
  bool has_clock = open.first_timestamp >= 0 && next.max_timestamp >= 0;
  if (has_clock && older_than(open.first_timestamp, next.max_timestamp, age_max(settings))) return CutReason::age;
  if (cut_by_age(open, settings, now)) return CutReason::age;
  return std::nullopt;
}

bool cut_by_age(const ShardDescriptor& open, const TopicSettings& settings, WallTime now) {
  return open.end > open.base && older_than(open.created_ms, to_ms(now), age_max(settings));
}

namespace {

constexpr int kRetentionParts = 16;  // a merged shard holds back at most this part of what retention would remove

// The longest time that a merged shard may span; negative: any.
std::int64_t span_max(const TopicSettings& settings) {
  if (!settings.deletes() || settings.retention < 0ms) return -1;
  return std::max(to_ms(settings.segment_age), to_ms(settings.retention) / kRetentionParts);
}

bool may_merge(const ShardDescriptor& shard, const TopicSettings& settings) {
  bool at_rest = shard.state == ShardState::archived || (shard.state == ShardState::sealed && !settings.remote_storage);
  return at_rest && shard.size <= settings.segment_bytes / 2;
}

}  // namespace

std::vector<ShardDescriptor> merge_run(const Chain& chain, const TopicSettings& settings, Offset log_start,
                                       std::size_t count_min) {
  if (settings.compacts() || count_min < 2) return {};
  auto size_limit = std::min<Bytes>(settings.segment_bytes, kShardSizeMax);
  auto span_limit = span_max(settings);
  const auto& shards = chain.shards();
  for (std::size_t first = 0; first < shards.size(); ++first) {
    // One that is partly deleted goes soon by itself.
    if (shards[first].base < log_start || !may_merge(shards[first], settings)) continue;
    Bytes size = 0, largest = 0;
    std::int64_t newest = -1;
    std::size_t end = first;
    for (; end < shards.size(); ++end) {
      const auto& shard = shards[end];
      if (!may_merge(shard, settings) || shard.archived != shards[first].archived) break;
      if (size + shard.size > size_limit || shard.end - shards[first].base > kOffsetsMax) break;
      auto newest_then = std::max(newest, shard.max_timestamp);
      std::int64_t span = 0;
      bool too_long = shards[first].first_timestamp >= 0 &&
                      (__builtin_sub_overflow(newest_then, shards[first].first_timestamp, &span) || span > span_limit);
      if (span_limit >= 0 && too_long) break;
      newest = newest_then;
      size += shard.size;
      largest = std::max(largest, shard.size);
    }
    if (end - first < count_min || largest * 2 > size) continue;
    return {shards.begin() + static_cast<std::ptrdiff_t>(first), shards.begin() + static_cast<std::ptrdiff_t>(end)};
  }
  return {};
}

}  // namespace forelog::log
