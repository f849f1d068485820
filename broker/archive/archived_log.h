// archived_log.h: the archived part of one partition's log, read by offset and by time through the block cache.
//
// One per partition, on the partition's core. Knows the archived shards (from the chain record); their indexes come and
// go with the FooterCache. Reading is synchronous: it takes what is in memory, starts the loads of what is missing, and
// says what to wait for. Bytes were verified block by block when they entered the cache; batches are not checked again.
#pragma once

#include "broker/archive/footer_cache.h"
#include "broker/cache/block_cache.h"
#include "broker/log/batch.h"
#include "broker/log/chain.h"

#include <memory>
#include <optional>
#include <vector>

namespace forelog::archive {

struct ColdRequest {
  Offset from;
  Offset limit;  // exclusive: no batch that ends after it (high watermark, or the last stable offset)
  Bytes size_max = 0;
  bool at_least_one_batch = false;  // the first batch comes whatever its size
  cache::ReaderId reader{0};
};

struct ColdRead {
  Slices batches;            // whole ones; slices of cached blocks
  Offset start = kNoOffset;  // of the first batch; may lie before what was asked for
  Offset end = kNoOffset;    // after the last batch; what was asked for when there is none
  bool waiting = false;      // something is on its way that would have been part of this; the event will be notified

  // What the access log wants to know of the batches returned.
  std::int64_t first_timestamp = -1;
  std::int64_t last_timestamp = -1;
  ShardId shard{};                // of the first batch
  std::uint32_t first_block = 0;  // in that shard
  std::uint32_t last_block = 0;
  Bytes from_memory = 0;   // in memory before somebody asked
  Bytes from_disk = 0;     // somebody had to wait for the disk tier,
  Bytes from_archive = 0;  // or for the archive
  bool joined = false;     // what was waited for was on its way as a prefetch
  Instant ready{};         // when the last of what these batches lie in, blocks and index, came into memory
  cache::LoadCause cause;  // of the first prefetched block used here for the first time

  Bytes size() const { return from_memory + from_disk + from_archive; }
};

class ArchivedLog {
 public:
  ArchivedLog(PartitionKey partition, cache::BlockCache& cache, FooterCache& footers, env::Clock& clock);

  // What is archived now, in order and without a gap; access summaries are taken over as they are. Readers of shards
  // that are gone meet OffsetOutOfRange from here on.
  void set_shards(std::vector<log::ShardDescriptor> shards);
  const std::vector<log::ShardDescriptor>& shards() const { return shards_; }
  bool empty() const { return shards_.empty(); }
  Offset start() const;  // 0 when empty
  Offset end() const;    // exclusive; 0 when empty

  // Whole batches from `request.from`, as far as they are in memory, over the seams of shards. Never waits: what the
  // request could use and is missing is loaded, and `landed` is notified when the first of it has come or failed.
  // Errors: OffsetOutOfRange (not archived here); what a load of a moment ago failed with, retriable, if nothing can be
  // returned; CorruptFile when the shard contradicts its index.
  Result<ColdRead> try_read(const ColdRequest& request, std::shared_ptr<Event> landed);

  // The first record at or after `from` (where the partition's log starts: it may lie inside a shard) with a timestamp
  // of at least `timestamp`, if it is archived. Loads what it needs; opens one batch.
  Task<Result<std::optional<log::TimestampedOffset>>> find_by_time(Offset from, std::int64_t timestamp,
                                                                   Deadline deadline);

  // The record with the largest timestamp, of those from `from` on and below `limit`, and of `than`; of several the one
  // with the lowest offset. Looks at no shard that has nothing as new as what is found already.
  Task<Result<log::TimestampedOffset>> max_timestamp(Offset from, Offset limit, log::TimestampedOffset than,
                                                     Deadline deadline);

  // Blocks of today's generations that hold the offsets, in order, about `size_max` bytes in all; runs may be longer
  // than an extent. Waits only for indexes.
  Task<Result<std::vector<cache::BlockRange>>> resolve(Offset from, Offset to, Bytes size_max, Deadline deadline);

  // The largest epoch at or below `epoch` that occurs in the archived part, and where it ends; an end that equals end()
  // may lie further on in the local log. Nothing when all archived epochs are above.
  struct EpochEnd {
    Epoch epoch;
    Offset end;
  };
  std::optional<EpochEnd> epoch_end(Epoch epoch) const;

  // Counts a read in the access summary of its first shard: what was read through the cache, not what local copies
  // gave.
  void note_access(const ColdRead& read, WallTime now);

 private:
  class Cursor;
  const log::ShardDescriptor* find(Offset offset) const;
  ShardId id_of(const log::ShardDescriptor& shard) const { return {partition_, shard.base, shard.generation}; }
  bool read_shard(Cursor& cursor, const ColdRequest& request, ColdRead& read) const;
  Result<void> load_missing(const Cursor& cursor, const ColdRequest& request, const std::shared_ptr<Event>& landed,
                            ColdRead& read);
  Bytes walked_to(const log::Footer& footer, Offset from) const;
  void note_walk(const Cursor& cursor, Offset from);
  void load_next(const log::ShardDescriptor& after, Bytes size, const ColdRequest& request);
  void take(const Cursor& cursor, const ColdRequest& request, ColdRead& read);
  Task<Result<std::optional<log::TimestampedOffset>>> find_in_shard(ShardId shard, ObjectShape shape, Offset from,
                                                                    std::int64_t timestamp, Deadline deadline);
  // What one shard has for `max_timestamp`. What it says is its newest may not be there, as in the local log.
  Task<Result<std::optional<log::TimestampedOffset>>> newest_in(ShardId shard, ObjectShape shape, Offset from,
                                                                Offset limit, Deadline deadline);
  // A walk goes from batch to batch: the block it is in may leave a small cache at once, and would be loaded for each.
  struct InHand {
    std::optional<std::uint32_t> index;
    Buffer bytes;
  };
  Task<Result<Buffer>> read_bytes(ShardId shard, Bytes position, Bytes size, InHand& in_hand, Deadline deadline);

  // No batch with `from` begins before `position`.
  struct Walk {
    ShardId shard;
    Offset from;
    Bytes position;
  };

  PartitionKey partition_;
  cache::BlockCache& cache_;
  FooterCache& footers_;
  env::Clock& clock_;
  std::vector<log::ShardDescriptor> shards_;
  std::vector<Walk> walks_;
};

}  // namespace forelog::archive
