// offsets_log.h: the partitions of __consumer_offsets that live on one core, for the coordinator of that core.
#pragma once

#include "broker/api/services.h"
#include "broker/groups/internal_log.h"
#include "broker/replication/partition_table.h"

namespace forelog {

class OffsetsLog final : public groups::InternalLog {
 public:
  OffsetsLog(cluster::ClusterState& cluster, replication::PartitionTable& partitions)
      : cluster_(cluster), partitions_(partitions) {}

  std::int32_t partition_count() const override;
  Task<Result<Offset>> append(PartitionId partition, Buffer batch, Deadline deadline) override;
  Task<Result<Slices>> read(PartitionId partition, Offset from, Bytes size_max, Deadline deadline) override;
  Result<Offset> start(PartitionId partition) override;
  Result<Offset> end(PartitionId partition) override;

 private:
  Result<replication::PartitionTable::PartitionPtr> find(PartitionId partition) const;
  cluster::ClusterState& cluster_;
  replication::PartitionTable& partitions_;
};

}  // namespace forelog
