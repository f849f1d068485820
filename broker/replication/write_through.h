// write_through.h: keeps what is produced to one partition in this broker's own cache tiers, so that recent data is
// still warm when its shard has been sealed, archived and dropped from the local disk.
//
// One per partition with `cache.write.through`, on the partition's core. While a shard grows, its bytes are copied into
// blocks; a whole block goes into the tiers under a provisional generation, which is never the same twice while the
// broker lives, because truncation may still give the same offsets other bytes. When the shard is sealed its blocks get
// the final name, each only if its checksum is the footer's; what the tiers never had (the time before a restart, or
// before the setting) is read from the segment once. Readers of the growing shard are served by the log as ever.
//
// A tier that cannot take a block never fails a produce: the record is durable, the block is counted as missed.
#pragma once

#include "broker/base/metrics.h"
#include "broker/cache/block_cache.h"
#include "broker/cache/tier.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"
#include "broker/log/local_log.h"
#include "broker/log/topic_settings.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace forelog::replication {

struct WriteThroughMetrics {
  explicit WriteThroughMetrics(MetricsRegistry& registry);
  Counter memory_blocks, disk_blocks;  // held
  Counter missed_memory_blocks, missed_disk_blocks;
  Counter refilled_blocks;  // read from segments of sealed shards
};

class WriteThrough {
 public:
  // What the partitions of one core share.
  struct Context {
    env::Env& env;
    cache::BlockCache& cache;
    cache::Tier* disk;  // null without one
    WriteThroughMetrics& metrics;
    Bytes partial_max;  // memory for blocks that are not whole yet
    Bytes partial = 0;
    std::int32_t last_generation = 0;  // provisional ones go downwards from here
  };

  WriteThrough(Context& context, log::WriteThroughTier mode);
  ~WriteThrough();

  void set_mode(log::WriteThroughTier mode);

  // `batch` has been appended to `shard`, the open one, at `position`, and ends before `end`.
  void on_append(const ShardId& shard, Bytes position, ByteView batch, Offset end);
  // Until the tiers hold all whole blocks below `end`, or have refused them; a second at most.
  Task<void> wait_held(Offset end, Deadline deadline);
  // The shard has its footer: names its blocks, and reads what is missing from its segment.
  Task<void> on_sealed(log::LocalLog& log, ShardId shard);
  Task<void> stop();

 private:
  // A shard that has no footer yet.
  struct Growing {
    ShardId shard;
    ShardId provisional;
    Bytes end = 0;
    std::map<std::uint32_t, std::uint32_t> sums;  // checksums of the blocks that were handed to the tiers
  };
  bool is_on() const { return mode_ != log::WriteThroughTier::none && !stopping_; }
  void begin_shard(const ShardId& shard, Bytes position);
  void take(Growing& growing, ByteView bytes, Offset end);
  void finish_block(Growing& growing, Offset end);
  void drop_partial();
  static Task<void> put_on_disk(WriteThrough& self, BlockId id, Buffer bytes, std::multiset<Offset>::iterator waits);
  Task<void> refill(log::LocalLog& log, ShardId shard, std::shared_ptr<const log::Footer> footer,
                    std::set<std::uint32_t> held);

  Context& context_;
  log::WriteThroughTier mode_;
  std::deque<Growing> growing_;           // in order; the last one is the open shard
  std::optional<MutableBuffer> partial_;  // the block at the end of the open shard, if it is kept from its beginning
  std::size_t filled_ = 0;
  std::multiset<Offset> on_their_way_;  // to the disk: ends of the batches that made the blocks whole
  Event changed_;
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog::replication
