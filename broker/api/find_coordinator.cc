#include "broker/api/handlers.h"
#include "broker/api/internal_topics.h"
#include "broker/groups/group_events.h"
#include "broker/groups/partition_of.h"

namespace forelog::api {
namespace {

using Coordinator = wire::FindCoordinatorResponse::Coordinator;

constexpr std::int8_t kGroup = 0;
constexpr std::int8_t kTransaction = 1;
constexpr Duration kCreateWait = 10s;

Coordinator refuse(std::string key, ErrorCode error) {
  Coordinator out;
  out.key = std::move(key);
  out.node_id = cluster::kNoBroker;
  out.port = -1;
  out.error_code = error;
  out.error_message = std::string(text_of(error));
  return out;
}

// The leader of the group's partition, at the address of the listener that the client came in on.
Coordinator find(Services& services, const ClientInfo& client, std::string key) {
  const auto& view = services.cluster.view();
  TopicName offsets{std::string(groups::kOffsetsTopic)};
  const auto* topic = view->topic(offsets);
  if (topic == nullptr || topic->partitions.empty()) return refuse(std::move(key), ErrorCode::kCoordinatorNotAvailable);
  auto id = groups::partition_of(GroupId(key), static_cast<std::int32_t>(topic->partitions.size()));
  const auto* partition = view->partition(offsets, id);
  const auto* broker = partition != nullptr ? view->broker(partition->leader) : nullptr;
  const auto* address = broker != nullptr ? broker->listener(client.listener) : nullptr;
  if (address == nullptr) return refuse(std::move(key), ErrorCode::kCoordinatorNotAvailable);
  Coordinator out;
  out.key = std::move(key);
  out.node_id = broker->id;
  out.host = address->endpoint.host;
  out.port = address->endpoint.port;
  return out;
}

// Who asks for one group is about to join it, or to read or reset its offsets; tools that look around ask for many.
void announce(const Context& context, const wire::FindCoordinatorResponse& response) {
  if (response.coordinators.size() != 1 || !response.coordinators.front().error_code.ok()) return;
  prefetch::GroupEvent event;
  event.kind = prefetch::GroupEventKind::find_coordinator;
  event.group = GroupId(response.coordinators.front().key);
  event.client = context.client->describe();
  context.services.here().group_events.add(event);
}

}  // namespace

Task<wire::FindCoordinatorResponse> find_coordinator(Context context, wire::FindCoordinatorRequest request) {
  auto& services = context.services;
  bool batched = context.version >= 4;
  if (!batched) request.coordinator_keys = {std::move(request.key)};
  if (request.key_type == kGroup) {
    // Who cannot have it now is told to come again, whatever the reason.
    auto created = co_await ensure_offsets_topic(services, context.received + kCreateWait);
    (void)created;
  }
  wire::FindCoordinatorResponse response;
  for (auto& key : request.coordinator_keys) {
    if (request.key_type == kGroup) {
      response.coordinators.push_back(find(services, *context.client, std::move(key)));
    } else {
      auto error =
          request.key_type == kTransaction ? ErrorCode::kTransactionalIdUnsupported : ErrorCode::kInvalidRequest;
      response.coordinators.push_back(refuse(std::move(key), error));
    }
  }
  announce(context, response);
  if (batched) co_return response;
  auto only = std::move(response.coordinators.front());
  response.coordinators.clear();
  response.error_code = only.error_code;
  response.error_message = std::move(only.error_message);
  response.node_id = only.node_id;
  response.host = std::move(only.host);
  response.port = only.port;
  co_return response;
}

}  // namespace forelog::api
