#include "broker/api/handlers.h"
#include "broker/api/internal_topics.h"
#include "broker/cluster/controller.h"
#include "broker/wire/authorized_operations.h"

#include <algorithm>
#include <unordered_set>

namespace forelog::api {
namespace {

constexpr Duration kCreateWait = 10s;

wire::MetadataResponse::Topic describe(const cluster::TopicView& topic, const cluster::ClusterView& view) {
  wire::MetadataResponse::Topic out;
  out.name = topic.name;
  out.topic_id = topic.id;
  out.is_internal = topic.internal();
  for (const auto& partition : topic.partitions) {
    auto& p = out.partitions.emplace_back();
    p.partition_index = partition.id;
    p.leader_id = partition.leader;
    p.leader_epoch = partition.leader_epoch;
    p.replica_nodes = partition.replicas;
    p.isr_nodes = partition.in_sync;
    for (auto replica : partition.replicas) {
      if (view.broker(replica) == nullptr) p.offline_replicas.push_back(replica);
    }
    if (partition.leader == cluster::kNoBroker || view.broker(partition.leader) == nullptr) {
      p.error_code = ErrorCode::kLeaderNotAvailable;
      p.leader_id = cluster::kNoBroker;
    }
  }
  return out;
}

}  // namespace

Task<wire::MetadataResponse> metadata(Context context, wire::MetadataRequest request) {
  auto& services = context.services;
  bool all = !request.topics || (context.version == 0 && request.topics->empty());
  wire::MetadataResponse response;
  if (!all && request.allow_auto_topic_creation && services.service.auto_create_topics) {
    auto deadline = context.received + kCreateWait;
    for (const auto& wanted : *request.topics) {
      if (!wanted.name || services.cluster.view()->topic(*wanted.name) != nullptr) continue;
      auto name = *wanted.name;
      // Why it could not be created is found again below, as what the topic then is: unknown, or of an invalid name.
      auto created = co_await create_on_demand(services, std::move(name), deadline);
      (void)created;
    }
  }
  auto view = services.cluster.view();
  response.cluster_id = view->cluster_id();
  response.controller_id = view->controller();
  for (const auto& [id, broker] : view->brokers()) {
    // A broker without this listener cannot be reached by this client.
    if (const auto* address = broker.listener(context.client->listener)) {
      response.brokers.push_back({id, address->endpoint.host, address->endpoint.port, broker.rack});
    }
  }
  if (request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = wire::kAllClusterOperations;
  }
  auto add = [&](const cluster::TopicView& topic) {
    response.topics.push_back(describe(topic, *view));
    if (request.include_topic_authorized_operations) {
      response.topics.back().topic_authorized_operations = wire::kAllTopicOperations;
    }
  };
  if (all) {
    for (const auto& [name, topic] : view->topics()) {
      if (!topic->deleting) add(*topic);
    }
    co_return response;
  }
  // Each topic once, as in Kafka: what describes it may be many thousand times as large as its name.
  std::unordered_set<TopicId> described;
  for (const auto& wanted : *request.topics) {
    const bool by_id = !wanted.name;
    const auto* topic = by_id ? view->topic(wanted.topic_id) : view->topic(*wanted.name);
    if (topic != nullptr && !topic->deleting) {
      if (described.insert(topic->id).second) add(*topic);
      continue;
    }
    auto& unknown = response.topics.emplace_back();
    unknown.name = wanted.name;
    unknown.topic_id = wanted.topic_id;
    if (by_id) {
      unknown.error_code = ErrorCode::kUnknownTopicId;
    } else if (!cluster::check_topic_name(*wanted.name)) {
      unknown.error_code = ErrorCode::kInvalidTopic;
    } else {
      unknown.error_code = ErrorCode::kUnknownTopicOrPartition;
    }
  }
  co_return response;
}

Task<wire::DescribeClusterResponse> describe_cluster(Context context, wire::DescribeClusterRequest request) {
  auto view = context.services.cluster.view();
  wire::DescribeClusterResponse response;
  response.endpoint_type = request.endpoint_type;
  if (request.endpoint_type != 1) {
    // There are no controllers of their own: one of the brokers is it.
    response.error_code = ErrorCode::kInvalidRequest;
    response.error_message = "only the endpoints of brokers (type 1) can be described";
    co_return response;
  }
  response.cluster_id = view->cluster_id();
  response.controller_id = view->controller();
  for (const auto& [id, broker] : view->brokers()) {
    if (const auto* address = broker.listener(context.client->listener)) {
      response.brokers.push_back({id, address->endpoint.host, address->endpoint.port, broker.rack, false});
    }
  }
  if (request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = wire::kAllClusterOperations;
  }
  co_return response;
}

Task<wire::DescribeTopicPartitionsResponse> describe_topic_partitions(Context context,
                                                                      wire::DescribeTopicPartitionsRequest request) {
  auto view = context.services.cluster.view();
  wire::DescribeTopicPartitionsResponse response;
  std::vector<TopicName> names;
  if (request.topics.empty()) {
    for (const auto& [name, topic] : view->topics()) {
      if (!topic->deleting) names.push_back(name);
    }
  } else {
    for (auto& topic : request.topics) names.push_back(std::move(topic.name));
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  }
  // A page ends at the limit; the cursor names what comes next.
  auto room = std::clamp(request.response_partition_limit, 1, 2000);
  for (const auto& name : names) {
    std::size_t from = 0;
    if (request.cursor) {
      if (name < request.cursor->topic_name) continue;
      if (name == request.cursor->topic_name)
        from = static_cast<std::size_t>(std::max(0, request.cursor->partition_index.value()));
    }
    if (room == 0) {
      response.next_cursor = {name, PartitionId(static_cast<std::int32_t>(from))};
      break;
    }
    auto& out = response.topics.emplace_back();
    out.name = name;
    const auto* topic = view->topic(name);
    if (topic == nullptr || topic->deleting) {
      out.error_code = cluster::check_topic_name(name) ? ErrorCode::kUnknownTopicOrPartition : ErrorCode::kInvalidTopic;
      continue;
    }
    auto described = describe(*topic, *view);
    out.topic_id = topic->id;
    out.is_internal = topic->internal();
    out.topic_authorized_operations = wire::kAllTopicOperations;
    for (std::size_t i = from; i < described.partitions.size(); ++i) {
      if (room == 0) {
        response.next_cursor = {name, PartitionId(static_cast<std::int32_t>(i))};
        break;
      }
      auto& p = described.partitions[i];
      --room;
      out.partitions.push_back({p.error_code, p.partition_index, p.leader_id, p.leader_epoch, p.replica_nodes,
                                p.isr_nodes, std::vector<BrokerId>{}, std::vector<BrokerId>{}, p.offline_replicas});
    }
    if (response.next_cursor) break;
  }
  co_return response;
}

}  // namespace forelog::api
