// InitProducerId and DescribeProducers: idempotent producers.

#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/api/producer_ids.h"

#include <set>
#include <utility>

namespace forelog::api {
namespace {

constexpr Duration kAnswerWait = 30s;

using States = std::vector<wire::DescribeProducersResponse::Topic::Partition::ProducerState>;

Task<Result<States>> ask_producers(replication::PartitionTable::PartitionPtr partition) {
  States out;
  for (const auto& producer : partition->producers().list()) {
    auto& state = out.emplace_back();
    state.producer_id = producer.id;
    state.producer_epoch = producer.epoch;
    state.last_sequence = producer.last_sequence;
    state.last_timestamp = producer.last_timestamp;
    state.coordinator_epoch = -1;
  }
  co_return out;
}

}  // namespace

Task<wire::InitProducerIdResponse> init_producer_id(Context context, wire::InitProducerIdRequest request) {
  wire::InitProducerIdResponse response;
  if (request.transactional_id) {
    response.error_code = ErrorCode::kTransactionalIdUnsupported;
    co_return response;
  }
  // An idempotent producer that wants the next epoch gets a new id: its sequences begin anew either way (KIP-360).
  auto id = co_await context.services.here().producer_ids.next(context.received + kAnswerWait);
  if (!id) {
    response.error_code =
        id.error().code == ErrorCode::kTimeout ? ErrorCode::kCoordinatorNotAvailable : id.error().code;
    co_return response;
  }
  response.producer_id = *id;
  response.producer_epoch = 0;
  co_return response;
}

Task<wire::DescribeProducersResponse> describe_producers(Context context, wire::DescribeProducersRequest request) {
  auto deadline = context.received + kAnswerWait;
  wire::DescribeProducersResponse response;
  std::set<std::pair<TopicName, PartitionId>> described;  // once: a partition may have many thousand producers
  for (auto& topic : request.topics) {
    auto& answers = response.topics.emplace_back();
    answers.name = topic.name;
    for (auto partition : topic.partition_indexes) {
      if (!described.emplace(topic.name, partition).second) continue;
      auto& out = answers.partitions.emplace_back();
      out.partition_index = partition;
      auto states = co_await call_partition(context.services, topic.name, partition, deadline, ask_producers);
      if (states) {
        out.active_producers = *std::move(states);
      } else {
        out.error_code = states.error();
        out.error_message = states.error().text();
      }
    }
  }
  co_return response;
}

}  // namespace forelog::api
