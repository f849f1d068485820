#include "broker/log/shard_cutter.h"

#include "broker/base/limits.h"

namespace forelog::log {
namespace {

// Relative offsets in the index are 32 bits.
constexpr std::int64_t kOffsetsMax = INT32_MAX;

bool older_than(std::int64_t from_ms, std::int64_t to_ms_, Duration age) {
  std::int64_t waited = 0;
  if (__builtin_sub_overflow(to_ms_, from_ms, &waited)) return to_ms_ > from_ms;
  return waited > to_ms(age);
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
  if (has_clock && older_than(open.first_timestamp, next.max_timestamp, settings.segment_age)) return CutReason::age;
  if (cut_by_age(open, settings, now)) return CutReason::age;
  return std::nullopt;
}

bool cut_by_age(const ShardDescriptor& open, const TopicSettings& settings, WallTime now) {
  return open.end > open.base && older_than(open.created_ms, to_ms(now), settings.segment_age);
}

}  // namespace forelog::log
