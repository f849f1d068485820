// shard_map.h: what the prefetcher must know of partitions to turn offsets into blocks. Implemented by replication.
#pragma once

#include "broker/base/result.h"
#include "broker/env/task.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/settings.h"

#include <optional>
#include <vector>

namespace forelog::prefetch {

// Offsets of a partition, as this broker knows them now.
struct PartitionBounds {
  Offset start;         // of the log
  Offset archived_end;  // exclusive: what lies before it and not on the local disk is read through the block cache
  Offset log_end;
  PrefetchMode mode = PrefetchMode::predict;  // the topic's prefetch.mode, or the broker's
};

// One per core; asked on that core about partitions that live there.
class ShardMap {
 public:
  virtual ~ShardMap() = default;

  // None when the partition does not live on this core.
  virtual std::optional<PartitionBounds> bounds(const PartitionKey& partition) const = 0;

  // Who serves the partition instead, where that is known.
  virtual std::optional<Owner> owner(const PartitionKey& partition) const = 0;

  // The blocks that hold `offsets`, in order, of today's generations: only sealed shards that are read from the archive
  // (those on the local disk need no cache and are left out), and at most about `bytes_max` of them. Runs may be longer
  // than an extent. Fails when an index cannot be read.
  virtual Task<Result<std::vector<Extent>>> resolve(PartitionKey partition, OffsetRange offsets, Bytes bytes_max) = 0;

  // The offsets of the records with these timestamps, by the time index.
  virtual Task<Result<OffsetRange>> offsets_at(PartitionKey partition, TimeRange times) = 0;
};

}  // namespace forelog::prefetch
