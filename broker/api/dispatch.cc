#include "broker/api/dispatch.h"

#include "broker/api/handlers.h"
#include "broker/api/item_count.h"
#include "broker/base/log.h"
#include "broker/wire/codec.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace forelog::api {
namespace {

using Serve = Task<Result<Reply>> (*)(Context, wire::ParsedRequest);

// What a request may name: partitions, topics, groups. An item of one byte costs a kilobyte until it is answered, and
// microseconds in which this core does nothing else.
constexpr std::int64_t kItemsMax = 200'000;
constexpr Bytes kItemMemory = 1_KiB;

template <class Message, Task<typename Message::Response> (*handler)(Context, Message)>
Task<Result<Reply>> serve(Context context, wire::ParsedRequest parsed) {
  auto message = CO_TRY(wire::decode<Message>(parsed.body, parsed.header.version, wire::Decoder::Rest::kIgnored));
  auto items = static_cast<Bytes>(parsed.body.size()) > RequestMemory::kSmall ? item_count(message) : 0;
  if (items > kItemsMax) {
    co_return fail(ErrorCode::kMalformed, std::string(parsed.api->name) + " of " + std::to_string(items) +
                                              " items; a request may have " + std::to_string(kItemsMax));
  }
  parsed.body = {};  // a long wait holds only what the handler kept
  auto& memory = context.memory;
  env::Reservation work, held;
  if (items > 0) work = CO_TRY(co_await memory.for_answer(items * kItemMemory, items * kItemMemory, kForever));
  context.held = &held;
  auto response = co_await handler(std::move(context), std::move(message));
  auto slices = wire::encode_response(response, parsed.header.version, parsed.header.correlation_id);
  if (held.bytes() == 0 && items > 0 && memory.settle(work, total_size(slices))) held = std::move(work);
  co_return Reply{std::move(slices), false, std::move(held)};
}

Task<Result<Reply>> serve_produce(Context context, wire::ParsedRequest parsed) {
  auto message =
      CO_TRY(wire::decode<wire::ProduceRequest>(parsed.body, parsed.header.version, wire::Decoder::Rest::kIgnored));
  parsed.body = {};
  auto reply = co_await produce(std::move(context), std::move(message));
  if (!reply.response) co_return Reply{{}, reply.failed};
  co_return Reply{wire::encode_response(*reply.response, parsed.header.version, parsed.header.correlation_id)};
}

// A core's part of what may be held; negative: no bound.
Bytes share(Bytes whole, const Services& services) {
  return whole < 0 ? whole : whole / std::max(1, services.env.cores.count());
}

// Whether a request's bytes count until it is answered: a Produce's batches lie in them, and what is large stays large
// when it is decoded. Small ones may wait long without holding more than their connection is allowed anyway. Members of
// a group wait for each other, as long as they like, and their group holds what they sent.
bool keeps_memory(std::int16_t key, Bytes size) {
  auto api = static_cast<wire::ApiKey>(key);
  if (api == wire::ApiKey::kProduce) return true;
  return size > RequestMemory::kSmall && api != wire::ApiKey::kJoinGroup && api != wire::ApiKey::kSyncGroup;
}

const std::unordered_map<std::int16_t, Serve>& handlers() {
  using namespace wire;  // NOLINT: the table reads as a list of messages
  auto key = [](ApiKey api) { return static_cast<std::int16_t>(api); };
  static const std::unordered_map<std::int16_t, Serve> table = {
      {key(ApiKey::kProduce), serve_produce},
      {key(ApiKey::kFetch), serve<FetchRequest, fetch>},
      {key(ApiKey::kListOffsets), serve<ListOffsetsRequest, list_offsets>},
      {key(ApiKey::kMetadata), serve<MetadataRequest, metadata>},
      {key(ApiKey::kOffsetCommit), serve<OffsetCommitRequest, offset_commit>},
      {key(ApiKey::kOffsetFetch), serve<OffsetFetchRequest, offset_fetch>},
      {key(ApiKey::kFindCoordinator), serve<FindCoordinatorRequest, find_coordinator>},
      {key(ApiKey::kJoinGroup), serve<JoinGroupRequest, join_group>},
      {key(ApiKey::kHeartbeat), serve<HeartbeatRequest, heartbeat>},
      {key(ApiKey::kLeaveGroup), serve<LeaveGroupRequest, leave_group>},
      {key(ApiKey::kSyncGroup), serve<SyncGroupRequest, sync_group>},
      {key(ApiKey::kDescribeGroups), serve<DescribeGroupsRequest, describe_groups>},
      {key(ApiKey::kListGroups), serve<ListGroupsRequest, list_groups>},
      {key(ApiKey::kApiVersions), serve<ApiVersionsRequest, api_versions>},
      {key(ApiKey::kCreateTopics), serve<CreateTopicsRequest, create_topics>},
      {key(ApiKey::kDeleteTopics), serve<DeleteTopicsRequest, delete_topics>},
      {key(ApiKey::kDeleteRecords), serve<DeleteRecordsRequest, delete_records>},
      {key(ApiKey::kInitProducerId), serve<InitProducerIdRequest, init_producer_id>},
      {key(ApiKey::kOffsetForLeaderEpoch), serve<OffsetForLeaderEpochRequest, offset_for_leader_epoch>},
      {key(ApiKey::kDescribeConfigs), serve<DescribeConfigsRequest, describe_configs>},
      {key(ApiKey::kAlterConfigs), serve<AlterConfigsRequest, alter_configs>},
      {key(ApiKey::kDescribeLogDirs), serve<DescribeLogDirsRequest, describe_log_dirs>},
      {key(ApiKey::kCreatePartitions), serve<CreatePartitionsRequest, create_partitions>},
      {key(ApiKey::kDeleteGroups), serve<DeleteGroupsRequest, delete_groups>},
      {key(ApiKey::kIncrementalAlterConfigs), serve<IncrementalAlterConfigsRequest, incremental_alter_configs>},
      {key(ApiKey::kListPartitionReassignments),
       serve<ListPartitionReassignmentsRequest, list_partition_reassignments>},
      {key(ApiKey::kOffsetDelete), serve<OffsetDeleteRequest, offset_delete>},
      {key(ApiKey::kDescribeClientQuotas), serve<DescribeClientQuotasRequest, describe_client_quotas>},
      {key(ApiKey::kDescribeUserScramCredentials),
       serve<DescribeUserScramCredentialsRequest, describe_user_scram_credentials>},
      {key(ApiKey::kDescribeCluster), serve<DescribeClusterRequest, describe_cluster>},
      {key(ApiKey::kDescribeProducers), serve<DescribeProducersRequest, describe_producers>},
      {key(ApiKey::kDescribeTopicPartitions), serve<DescribeTopicPartitionsRequest, describe_topic_partitions>},
  };
  return table;
}

}  // namespace

struct Dispatcher::Metrics {
  explicit Metrics(MetricsRegistry& registry)
      : refused(registry, "forelog_requests_refused_total", "Connections closed because of what the client sent") {
    for (const auto& api : wire::api_table()) {
      auto label = "api=\"" + std::string(api.name) + "\"";
      requests.try_emplace(static_cast<std::int16_t>(api.key), registry, "forelog_requests_total", "Requests handled",
                           label);
      times.try_emplace(static_cast<std::int16_t>(api.key), registry, "forelog_request_seconds",
                        "From a request's arrival to its answer, long polls included", label);
    }
  }
  Counter refused;
  std::map<std::int16_t, Counter> requests;
  std::map<std::int16_t, Histogram> times;
};

Dispatcher::Dispatcher(Services& services, MetricsRegistry& metrics)
    : services_(services),
      metrics_(std::make_unique<Metrics>(metrics)),
      memory_(
          services.env.cores,
          {share(services.service.request_memory_max, services), share(services.service.answer_memory_max, services)},
          metrics) {}

Dispatcher::~Dispatcher() = default;

void Dispatcher::refused(const ClientInfo& client, const Error& error) {
  ++metrics_->refused;
  auto left_out = refusals_.allow(services_.env.clock.now());
  if (!left_out) return;
  log_line(info, "connection_refused",
           {{"peer", client.host},
            {"client_id", client.client_id},
            {"listener", client.listener},
            {"error", error},
            {"lines_left_out", *left_out}});
}

Task<Reply> Dispatcher::handle(Request request) {
  auto parsed = wire::parse_request(request.frame);
  if (!parsed) {
    refused(*request.client, parsed.error());
    co_return Reply{{}, true};
  }
  const auto& header = parsed->header;
  auto client = std::move(request.client);
  if (header.client_id && client->client_id != *header.client_id) client->client_id = *header.client_id;
  if (parsed->api == nullptr && header.api_key == static_cast<std::int16_t>(wire::ApiKey::kApiVersions)) {
    co_return Reply{wire::encode_unsupported_api_versions(header.correlation_id)};
  }
  auto row = handlers().find(header.api_key);
  if (parsed->api == nullptr || row == handlers().end()) {
    refused(*client, Error{ErrorCode::kUnsupportedVersion,
                           "api key " + std::to_string(header.api_key) + " version " + std::to_string(header.version)});
    co_return Reply{{}, true};
  }
  auto key = header.api_key;
  ++metrics_->requests.at(key);
  // The handler owns the only reference to the frame: a produced batch is stamped where it lies.
  request.frame = {};
  if (!keeps_memory(key, request.memory.bytes())) request.memory.release();
  bool is_large = request.memory.bytes() > RequestMemory::kSmall;
  Context context{services_, client, header.version, request.received, memory_, is_large};
  auto reply = co_await row->second(std::move(context), *std::move(parsed));
  request.memory.release();
  memory_.note_change();
  metrics_->times.at(key).record(services_.env.clock.now() - request.received);
  if (!reply) {
    refused(*client, reply.error());
    co_return Reply{{}, true};
  }
  co_return *std::move(reply);
}

}  // namespace forelog::api
