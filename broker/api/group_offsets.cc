// OffsetCommit, OffsetFetch, OffsetDelete.
#include "broker/api/group_core.h"
#include "broker/api/handlers.h"
#include "broker/groups/coordinator.h"

#include <set>
#include <utility>

namespace forelog::api {
namespace {

bool exists(const cluster::ClusterView& view, const TopicName& topic, PartitionId partition) {
  const auto* known = view.topic(topic);
  return known != nullptr && !known->deleting && view.partition(topic, partition) != nullptr;
}

// Answers partitions that do not exist in `response`, with topics and partitions in the order of `request`, and leaves
// in `request` those that do. What they get in `answered` is then put in their places by `merge`.
template <class Request, class Response>
void refuse_unknown(const cluster::ClusterView& view, Request& request, Response& response) {
  for (auto& topic : request.topics) {
    auto& to = response.topics.emplace_back();
    to.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& each = to.partitions.emplace_back();
      each.partition_index = partition.partition_index;
      if (!exists(view, topic.name, partition.partition_index)) each.error_code = ErrorCode::kUnknownTopicOrPartition;
    }
    std::erase_if(topic.partitions, [&](const auto& each) { return !exists(view, topic.name, each.partition_index); });
  }
}

template <class Response>
void merge(Response& response, const Response& answered) {
  for (std::size_t t = 0; t < response.topics.size() && t < answered.topics.size(); ++t) {
    auto next = answered.topics[t].partitions.begin();
    for (auto& each : response.topics[t].partitions) {
      if (each.error_code.ok() && next != answered.topics[t].partitions.end()) each.error_code = (next++)->error_code;
    }
  }
}

template <class Response>
void answer_rest(Response& response, wire::WireError error) {
  for (auto& topic : response.topics) {
    for (auto& each : topic.partitions) {
      if (each.error_code.ok()) each.error_code = error;
    }
  }
}

Task<wire::OffsetFetchResponse::Group> fetch_group(Context& context, wire::OffsetFetchRequest::Group request) {
  auto& services = context.services;
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    wire::OffsetFetchResponse::Group response;
    response.group_id = std::move(request.group_id);
    response.error_code = core.error();
    co_return response;
  }
  auto task = services.at(*core).groups.fetch(std::move(request), context.client->describe());
  co_return co_await services.env.cores.on(*core, std::move(task));
}

// In v1 there is no place for an error but at each partition. An empty answer would reset the consumer (trap 24).
void spread_error(const std::optional<std::vector<wire::OffsetFetchRequest::Topic>>& wanted,
                  wire::OffsetFetchResponse& response) {
  if (response.error_code.ok() || !wanted) return;
  response.topics.clear();
  for (const auto& topic : *wanted) {
    auto& to = response.topics.emplace_back();
    to.name = topic.name;
    for (auto index : topic.partition_indexes) {
      auto& each = to.partitions.emplace_back();
      each.partition_index = index;
      each.committed_offset = kNoOffset;
      each.error_code = response.error_code;
    }
  }
}

}  // namespace

Task<wire::OffsetCommitResponse> offset_commit(Context context, wire::OffsetCommitRequest request) {
  auto& services = context.services;
  wire::OffsetCommitResponse response;
  refuse_unknown(*services.cluster.view(), request, response);
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    answer_rest(response, core.error());
    co_return response;
  }
  auto task = services.at(*core).groups.commit(std::move(request), context.client->describe());
  auto answered = co_await services.env.cores.on(*core, std::move(task));
  merge(response, answered);
  co_return response;
}

Task<wire::OffsetFetchResponse> offset_fetch(Context context, wire::OffsetFetchRequest request) {
  wire::OffsetFetchResponse response;
  if (context.version >= 8) {
    std::set<GroupId> whole;  // all offsets of a group are told once
    for (auto& group : request.groups) {
      if (!group.topics && !whole.insert(group.group_id).second) continue;
      auto answered = co_await fetch_group(context, std::move(group));
      response.groups.push_back(std::move(answered));
    }
    co_return response;
  }
  wire::OffsetFetchRequest::Group group;
  group.group_id = std::move(request.group_id);
  group.topics = request.topics;
  auto answered = co_await fetch_group(context, std::move(group));
  response.topics = std::move(answered.topics);
  response.error_code = answered.error_code;
  if (context.version < 2) spread_error(request.topics, response);
  co_return response;
}

Task<wire::OffsetDeleteResponse> offset_delete(Context context, wire::OffsetDeleteRequest request) {
  auto& services = context.services;
  wire::OffsetDeleteResponse response;
  refuse_unknown(*services.cluster.view(), request, response);
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    response = {};
    response.error_code = core.error();
    co_return response;
  }
  auto task = services.at(*core).groups.delete_offsets(std::move(request));
  auto answered = co_await services.env.cores.on(*core, std::move(task));
  if (!answered.error_code.ok()) co_return answered;
  merge(response, answered);
  co_return response;
}

}  // namespace forelog::api
