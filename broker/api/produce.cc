#include "broker/api/fan_out.h"
#include "broker/api/handlers.h"
#include "broker/prefetch/access_feed.h"
#include "broker/replication/partition_table.h"

#include <algorithm>
#include <string>
#include <utility>

namespace forelog::api {
namespace {

using replication::PartitionTable;
using PartitionPtr = PartitionTable::PartitionPtr;

// What Kafka lets write to its internal topics: tools that know what they do. No tool has anything to say in the access
// log, and whoever can write there decides what the predictor warms.
constexpr std::string_view kAdminClient = "__admin_client";

// As in Kafka, the request's timeout is for the other replicas. An error because the disk is slow would have the client
// write the same records again; who waits for longer than this has given up by default.
constexpr Duration kDiskWaitMax = 30s;

bool may_write(const ClientInfo& client, const cluster::TopicView& topic) {
  if (!topic.internal()) return true;
  return client.client_id == kAdminClient && topic.name.value() != prefetch::kAccessLogTopic;
}

// One partition of the request, on its way to its core and back.
struct Item {
  PartitionKey key;
  Buffer batch;
  wire::ProduceResponse::Partition* answer = nullptr;
};

struct Batch {
  std::int16_t acks = 0;
  bool zstd_allowed = true;
  Deadline disk;
  Deadline replicas;
};

void refuse(wire::ProduceResponse::Partition& answer, const Error& error) {
  answer.error_code = error;
  answer.base_offset = kNoOffset;
  answer.error_message = error.text();
  if (error.code == ErrorCode::kInvalidRecord || error.code == ErrorCode::kInvalidTimestamp) {
    answer.record_errors.push_back({0, error.context});
  }
}

// What was appended, and is not acknowledged yet.
struct Waiting {
  PartitionPtr partition;
  Item* item;
  Offset end;
};

void append(const PartitionPtr& partition, const Batch& batch, Item& item, std::vector<Waiting>& waiting) {
  item.answer->log_start_offset = partition->log_start();
  auto appended = partition->append(std::move(item.batch), {batch.acks, batch.zstd_allowed, false});
  if (!appended) return refuse(*item.answer, appended.error());
  item.answer->base_offset = appended->base;
  item.answer->log_append_time_ms = appended->append_time_ms;
  waiting.push_back({partition, &item, appended->end});
}

Task<void> append_on_core(Services& services, Batch batch, std::vector<Item>& items) {
  auto& table = services.here().partitions;
  std::vector<Waiting> waiting;
  std::vector<std::pair<Item*, PartitionTable::PlacePtr>> in_line;
  for (auto& item : items) {
    if (auto partition = table.find(item.key)) {
      append(partition, batch, item, waiting);
      continue;
    }
    // Rare: it is being opened. In line before anything is waited for: what comes behind on this connection would
    // overtake it otherwise, there and in the partitions that are open.
    auto use = [&](const PartitionPtr& opened) { append(opened, batch, item, waiting); };
    auto place = table.line_up(item.key, std::move(use));
    if (place) {
      in_line.emplace_back(&item, *std::move(place));
    } else {
      refuse(*item.answer, place.error());
    }
  }
  for (auto& [item, place] : in_line) {
    auto served = co_await table.wait_in_line(std::move(place), batch.replicas);
    if (!served) refuse(*item->answer, served.error());
  }
  // All are queued for the same write; waiting for one after another costs nothing.
  for (auto& wait : waiting) {
    auto acknowledged = co_await wait.partition->wait_acknowledged(wait.end, batch.acks, batch.disk, batch.replicas);
    if (!acknowledged) refuse(*wait.item->answer, acknowledged.error());
  }
}

}  // namespace

Task<ProduceReply> produce(Context context, wire::ProduceRequest request) {
  auto& services = context.services;
  auto view = services.cluster.view();
  wire::ProduceResponse response;
  std::optional<Error> refused;
  if (request.acks < -1 || request.acks > 1) {
    refused = Error{ErrorCode::kInvalidRequiredAcks, "acks=" + std::to_string(request.acks)};
  } else if (request.transactional_id) {
    refused = Error{ErrorCode::kTransactionalIdUnsupported, *request.transactional_id};
  }
  std::vector<std::vector<Item>> by_core(services.cores.size());
  response.responses.reserve(request.topic_data.size());
  for (auto& topic : request.topic_data) {
    auto& answers = response.responses.emplace_back();
    answers.name = topic.name;
    answers.partition_responses.resize(topic.partition_data.size());
    const auto* known = view->topic(topic.name);
    for (std::size_t i = 0; i < topic.partition_data.size(); ++i) {
      auto& wanted = topic.partition_data[i];
      auto& answer = answers.partition_responses[i];
      answer.index = wanted.index;
      if (refused) {
        refuse(answer, *refused);
      } else if (known == nullptr || known->deleting || view->partition(topic.name, wanted.index) == nullptr) {
        refuse(answer,
               {ErrorCode::kUnknownTopicOrPartition, topic.name.value() + "-" + std::to_string(wanted.index.value())});
      } else if (wanted.records.empty()) {
        refuse(answer, {ErrorCode::kInvalidRecord, "no records"});
      } else if (!may_write(*context.client, *known)) {
        refuse(answer, {ErrorCode::kInvalidTopic, topic.name.value() + " is written by the broker alone"});
      } else {
        PartitionKey key{known->id, wanted.index};
        by_core[static_cast<std::size_t>(services.owner(key).value())].push_back({key, wanted.records.flat(), &answer});
      }
    }
  }
  request.topic_data.clear();  // the batches are held by their items alone
  auto replicas = context.received + std::chrono::milliseconds(std::max(request.timeout_ms, 0));
  Batch batch{request.acks, context.version >= 7, std::max(replicas, context.received + kDiskWaitMax), replicas};
  std::vector<CoreTask> tasks;
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    if (by_core[core].empty()) continue;
    tasks.emplace_back(CoreId(static_cast<std::int32_t>(core)), append_on_core(services, batch, by_core[core]));
  }
  co_await fan_out(services.env.cores, std::move(tasks));
  if (request.acks != 0) co_return ProduceReply{std::move(response), false};
  bool failed = false;
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partition_responses) failed |= !partition.error_code.ok();
  }
  co_return ProduceReply{std::nullopt, failed};
}

}  // namespace forelog::api
