#include "broker/offsets_log.h"

#include "broker/api/internal_topics.h"

namespace forelog {
namespace {

const cluster::TopicView* offsets_topic(const cluster::ClusterState& cluster) {
  return cluster.view()->topic(TopicName(std::string(api::kOffsetsTopic)));
}

}  // namespace

std::int32_t OffsetsLog::partition_count() const {
  const auto* topic = offsets_topic(cluster_);
  return topic == nullptr ? 0 : static_cast<std::int32_t>(topic->partitions.size());
}

Result<replication::PartitionTable::PartitionPtr> OffsetsLog::find(PartitionId partition) const {
  const auto* topic = offsets_topic(cluster_);
  if (topic != nullptr) {
    if (auto found = partitions_.find({topic->id, partition})) return found;
  }
  return fail(ErrorCode::kNotLeader, std::string(api::kOffsetsTopic) + "-" + std::to_string(partition.value()));
}

Task<Result<Offset>> OffsetsLog::append(PartitionId partition, Buffer batch, Deadline deadline) {
  auto log = CO_TRY(find(partition));
  auto appended = CO_TRY(log->append(std::move(batch), {-1, true, true}));
  CO_TRY(co_await log->wait_acknowledged(appended.end, -1, deadline, deadline));
  co_return appended.base;
}

Task<Result<Slices>> OffsetsLog::read(PartitionId partition, Offset from, Bytes size_max, Deadline) {
  auto log = CO_TRY(find(partition));
  replication::ReadRequest request;
  request.offset = from;
  request.size_max = size_max;
  request.at_least_one = true;
  auto read = co_await log->read(std::move(request));
  if (read.error) co_return fail(*read.error);
  co_return std::move(read.batches);
}

Result<Offset> OffsetsLog::start(PartitionId partition) { return TRY(find(partition))->log_start(); }
Result<Offset> OffsetsLog::end(PartitionId partition) { return TRY(find(partition))->end(); }

}  // namespace forelog
