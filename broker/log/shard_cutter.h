// shard_cutter.h: when the open shard ends, and which small neighbours become one. Pure; only the leader asks, the
// answer travels with the data.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/time.h"
#include "broker/log/chain.h"
#include "broker/log/topic_settings.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace forelog::log {

enum class CutReason : std::uint8_t { size, age, epoch, position, offsets };
std::string_view name_of(CutReason reason);

// What is about to be appended.
struct Incoming {
  Bytes size = 0;
  Epoch epoch = kNoEpoch;
  std::int64_t max_timestamp = -1;
  std::int32_t offsets = 1;  // how many it takes
};

// Why `open` must end before `next` is appended, or nothing. An empty shard never ends. segment.bytes and segment.ms
// are Kafka's: a shard that `next` would make larger than segment.bytes ends; one whose first record is older than
// segment.ms, by the record's clock against `next`'s or by ours since it was created, ends. No jitter: shards end where
// the settings say.
std::optional<CutReason> cut_before(const ShardDescriptor& open, const Incoming& next, const TopicSettings& settings,
                                    WallTime now);

// Whether age alone ends `open`, with nothing to append.
bool cut_by_age(const ShardDescriptor& open, const TopicSettings& settings, WallTime now);

// The oldest run of at least `count_min` neighbours that is worth making one shard; empty when there is none. They are
// sealed, at the same place (in the archive if the topic uses one, else here), together within segment.bytes, and span
// no more time than retention can bear: a shard goes only as a whole. The largest is at most half of all, so that no
// byte is written more often than the logarithm of the shard's size. Topics that are compacted have their shards merged
// by that.
std::vector<ShardDescriptor> merge_run(const Chain& chain, const TopicSettings& settings, Offset log_start,
                                       std::size_t count_min);

}  // namespace forelog::log
