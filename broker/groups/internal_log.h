// internal_log.h: the partitions of __consumer_offsets, as the coordinator of one core sees them.
//
// Implemented over replication::Partition; in tests over memory. Called on the core that owns the partition. Errors are
// those of partitions: NotLeader, Timeout, StorageError, ….
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/task.h"

namespace forelog::groups {

class InternalLog {
 public:
  virtual ~InternalLog() = default;

  // Partitions of the topic; 0 while it does not exist.
  virtual std::int32_t partition_count() const = 0;

  // Appends one batch made by log::BatchBuilder; resumes with the offset of its first record when it is durable on all
  // replicas that acks=all asks for. Batches of one partition stand in the order of the calls, and become durable in
  // it.
  virtual Task<Result<Offset>> append(PartitionId partition, Buffer batch, Deadline deadline) = 0;

  // Whole batches from the one that contains `from` on, at most `size_max` bytes but at least one batch, and nothing
  // beyond the high watermark; empty at the end.
  virtual Task<Result<Slices>> read(PartitionId partition, Offset from, Bytes size_max, Deadline deadline) = 0;

  virtual Result<Offset> start(PartitionId partition) = 0;
  virtual Result<Offset> end(
      PartitionId partition) = 0;  // of the log, which the high watermark may still have to reach
};

}  // namespace forelog::groups
