// CreateTopics, DeleteTopics, CreatePartitions: what AdminClients send to the controller.

#include "broker/api/handlers.h"
#include "broker/api/message_of.h"
#include "broker/cluster/controller.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace forelog::api {
namespace {

Deadline deadline_of(const Context& context, std::int32_t timeout_ms) {
  return context.received + std::chrono::milliseconds(std::max(timeout_ms, 1));
}

// Names that stand in one request more than once are refused, as Kafka does: which of them is meant?
template <class Topics>
std::set<TopicName> repeated(const Topics& topics) {
  std::set<TopicName> seen;
  std::set<TopicName> twice;
  for (const auto& topic : topics) {
    if (!seen.insert(topic.name).second) twice.insert(topic.name);
  }
  return twice;
}

// What a DeleteTopics request means by one of its entries: a topic, by its name or by its id.
Result<TopicName> topic_meant(const wire::DeleteTopicsRequest::Topic& wanted, const cluster::ClusterView& view) {
  bool by_id = wanted.topic_id != TopicId{};
  if (by_id == wanted.name.has_value()) {
    return fail(ErrorCode::kInvalidRequest, "a topic is named either by its name or by its id");
  }
  if (!by_id) return *wanted.name;
  const auto* known = view.topic(wanted.topic_id);
  if (known == nullptr) return fail(ErrorCode::kUnknownTopicId, "there is no topic of this id");
  return known->name;
}

Result<cluster::NewTopic> new_topic(wire::CreateTopicsRequest::Topic& topic) {
  cluster::NewTopic out;
  out.name = topic.name;
  out.partitions = topic.num_partitions;
  out.replication_factor = topic.replication_factor;
  for (auto& assignment : topic.assignments)
    out.assignment[assignment.partition_index] = std::move(assignment.broker_ids);
  if (out.assignment.size() != topic.assignments.size()) {
    return fail(ErrorCode::kInvalidReplicaAssignment, "a partition is assigned twice");
  }
  for (auto& config : topic.configs) {
    if (!config.value) return fail(ErrorCode::kInvalidConfig, config.name + " has no value");
    if (!out.configs.emplace(config.name, *config.value).second) {
      return fail(ErrorCode::kInvalidRequest, config.name + " is given twice");
    }
  }
  return out;
}

}  // namespace

Task<wire::CreateTopicsResponse> create_topics(Context context, wire::CreateTopicsRequest request) {
  auto& controller = context.services.controller;
  auto deadline = deadline_of(context, request.timeout_ms);
  auto twice = repeated(request.topics);
  wire::CreateTopicsResponse response;
  std::set<TopicName> answered;
  for (auto& topic : request.topics) {
    if (!answered.insert(topic.name).second) continue;
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    auto refuse = [&out](const Error& error) {
      out.error_code = error;
      out.error_message = message_of(error);
    };
    if (twice.contains(topic.name)) {
      refuse({ErrorCode::kInvalidRequest, "the request names this topic twice"});
      continue;
    }
    auto wanted = new_topic(topic);
    if (!wanted) {
      refuse(wanted.error());
      continue;
    }
    auto created = co_await controller.create_topic(*std::move(wanted), request.validate_only, deadline);
    if (!created) {
      refuse(created.error());
      continue;
    }
    out.topic_id = created->id;
    out.num_partitions = created->partitions;
    out.replication_factor = created->replication_factor;
    out.configs.emplace();
    if (request.validate_only) continue;
    auto described = co_await controller.describe_configs({cluster::ConfigResource::Kind::topic, topic.name.value()});
    if (!described) continue;
    for (auto& entry : *described) {
      out.configs->push_back(
          {entry.name, entry.value, entry.read_only, static_cast<std::int8_t>(entry.source), entry.sensitive});
    }
  }
  co_return response;
}

Task<wire::DeleteTopicsResponse> delete_topics(Context context, wire::DeleteTopicsRequest request) {
  auto& services = context.services;
  auto deadline = deadline_of(context, request.timeout_ms);
  for (auto& name : request.topic_names) request.topics.push_back({std::move(name), {}});
  auto view = services.cluster.view();
  std::vector<Result<TopicName>> meant;
  std::map<TopicName, int> times;
  for (const auto& topic : request.topics) {
    const auto& name = meant.emplace_back(topic_meant(topic, *view));
    if (name) ++times[*name];
  }
  wire::DeleteTopicsResponse response;
  for (std::size_t i = 0; i < meant.size(); ++i) {
    const auto& wanted = request.topics[i];
    auto& out = response.responses.emplace_back();
    out.name = wanted.name;
    out.topic_id = wanted.topic_id;
    auto refuse = [&out](const Error& error) {
      out.error_code = error;
      out.error_message = message_of(error);
    };
    const auto& name = meant[i];
    if (!name) {
      refuse(name.error());
      continue;
    }
    out.name = *name;
    if (const auto* known = view->topic(*name)) out.topic_id = known->id;
    if (times[*name] > 1) {
      refuse({ErrorCode::kInvalidRequest, "the request names this topic twice"});
      continue;
    }
    // Under the name there may be another topic by the time that it is deleted.
    std::optional<TopicId> id;
    if (!wanted.name) id = wanted.topic_id;
    auto deleted = co_await services.controller.delete_topic(*name, id, deadline);
    if (!deleted) refuse(deleted.error());
  }
  co_return response;
}

Task<wire::CreatePartitionsResponse> create_partitions(Context context, wire::CreatePartitionsRequest request) {
  auto& controller = context.services.controller;
  auto deadline = deadline_of(context, request.timeout_ms);
  auto twice = repeated(request.topics);
  wire::CreatePartitionsResponse response;
  std::set<TopicName> answered;
  for (auto& topic : request.topics) {
    if (!answered.insert(topic.name).second) continue;
    auto& out = response.results.emplace_back();
    out.name = topic.name;
    if (twice.contains(topic.name)) {
      out.error_code = ErrorCode::kInvalidRequest;
      out.error_message = "the request names this topic twice";
      continue;
    }
    std::vector<std::vector<BrokerId>> assignment;
    if (topic.assignments) {
      for (auto& replicas : *topic.assignments) assignment.push_back(std::move(replicas.broker_ids));
    }
    auto grown = co_await controller.create_partitions(topic.name, topic.count, std::move(assignment),
                                                       request.validate_only, deadline);
    if (!grown) {
      out.error_code = grown.error();
      out.error_message = message_of(grown.error());
    }
  }
  co_return response;
}

}  // namespace forelog::api
