// compaction.h: which shards of a partition to rewrite, and what of each batch stays. Pure.
//
// The rules are Kafka's log cleaner's (LogCleaner, RecordBatch.MemoryRecordsBuilder), so that what a client sees of a
// compacted topic is the same. Offsets never change; gaps are legal. What is rewritten is a run of neighbouring sealed
// shards that becomes one shard of a higher generation.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/log/batch.h"
#include "broker/log/chain.h"
#include "broker/log/key_map.h"
#include "broker/log/topic_settings.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace forelog::log {

// --- which shards ----------------------------------------------------------------------------------------------------

// What a pass over a partition has to do: find the last record of each key in [dirty_start, end), and rewrite the
// shards from the start of the log to `end` by it.
struct CompactionWork {
  Offset dirty_start;
  Offset end;  // of the last shard that may be compacted
  Bytes clean = 0;
  Bytes dirty = 0;
  friend bool operator==(const CompactionWork&, const CompactionWork&) = default;
};

// Whether `chain` is worth a pass at `now`, where everything before `compacted_end` has been through one. A shard can
// be compacted once it is sealed and its newest record is older than min.compaction.lag.ms; a pass is due when dirty
// bytes are more than min.cleanable.dirty.ratio of all, or the oldest dirty record is older than max.compaction.lag.ms.
std::optional<CompactionWork> decide_compaction(const Chain& chain, const TopicSettings& settings, Offset log_start,
                                                Offset compacted_end, WallTime now);

// Neighbours that become one shard.
using ShardRun = std::vector<ShardDescriptor>;

// The shards of `chain` before `end` in runs that each become one shard: neighbours that lie at the same place (here,
// or in the archive), together no larger than a shard may be. Alone where there is no company.
std::vector<ShardRun> compaction_runs(const Chain& chain, const TopicSettings& settings, Offset log_start, Offset end);

// --- what stays ------------------------------------------------------------------------------------------------------

struct CleanRules {
  const KeyMap& latest;  // of the records before `map_end`
  Offset map_end;        // batches that reach beyond it stay as they are
  WallTime now;
  Duration delete_retention{};  // how long tombstones stay after the pass that first met them
  // Whether the newest batch of its producer is this one: then its header stays, with producer, epoch and sequence.
  std::function<bool(BatchView)> is_last_of_producer;
};

struct CleanedBatch {
  Buffer bytes;  // empty: nothing stays
  bool changed = false;
  std::int64_t records_removed = 0;
  std::int64_t keyless_removed = 0;  // of these, records without a key: Kafka drops them too
  bool has_tombstones = false;
};

// What stays of the batch in `bytes`, which holds one whole batch and nothing else. `keep_header`: at least an empty
// batch stays, so that readers get to its end. Base offset, last offset, leader epoch, producer, epoch and sequence are
// kept; timestamps too, but a batch with a tombstone gets, in place of its base timestamp, the time from which on the
// tombstone may go (KIP-534). Compressed batches are compressed again with their codec. Batches of transactions and
// control batches stay as they are. Fails CorruptMessage.
Result<CleanedBatch> clean_batch(const Buffer& bytes, const CleanRules& rules, bool keep_header);

// Adds the records of `batch` to `map`, the ones that count as their key's newest. False when the map was full before
// the batch was through: the map then knows some of its records, which does no harm.
Result<bool> note_keys(BatchView batch, KeyMap& map);

}  // namespace forelog::log
