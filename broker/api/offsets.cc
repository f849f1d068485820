// ListOffsets, OffsetForLeaderEpoch, DeleteRecords: questions about the ends of logs, and moving their start.

#include "broker/api/handlers.h"
#include "broker/api/partition_call.h"
#include "broker/env/task_group.h"
#include "broker/prefetch/access_feed.h"
#include "broker/prefetch/prefetcher.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

namespace forelog::api {
namespace {

using PartitionPtr = replication::PartitionTable::PartitionPtr;

constexpr Duration kAnswerWait = 30s;
// A look-up by time may wait for the archive. One after another, those of a few hundred partitions would take longer
// than clients wait.
constexpr std::size_t kAskedTogether = 32;

enum SpecialTime : std::int64_t {
  kLatest = -1,
  kEarliest = -2,
  kMaxTimestamp = -3,
  kEarliestLocal = -4,
  kLatestTiered = -5
};

Task<Result<replication::OffsetAnswer>> ask_offset(PartitionPtr partition, std::int64_t time, Epoch client_epoch) {
  CO_TRY(partition->check_epoch(client_epoch));
  auto at = [&](Offset offset) { return replication::OffsetAnswer{-1, offset, partition->epoch_at(offset)}; };
  switch (time) {
    case kLatest:
      co_return replication::OffsetAnswer{-1, partition->high_watermark(), partition->leader_epoch()};
    case kEarliest:
      co_return at(partition->log_start());
    case kEarliestLocal:
      co_return at(std::max(partition->local_start(), partition->log_start()));
    case kLatestTiered: {
      auto end = partition->archived_end();
      if (end <= partition->log_start()) co_return replication::OffsetAnswer{};
      co_return at(end - 1);
    }
    case kMaxTimestamp:
      co_return co_await partition->find_max_timestamp();
    default:
      break;
  }
  if (time < 0) co_return fail(ErrorCode::kUnsupportedVersion, "time " + std::to_string(time));
  co_return co_await partition->find_by_time(time);
}

Task<Result<log::LocalLog::EpochEnd>> ask_epoch_end(PartitionPtr partition, Epoch epoch, Epoch client_epoch) {
  CO_TRY(partition->check_epoch(client_epoch));
  co_return partition->epoch_end(epoch);
}

// Cut off from outside, committed offsets would be lost with the next start, and a compacted topic would lack keys.
std::optional<Error> why_not_deleted(const cluster::ClusterView& view, const TopicName& topic) {
  const auto* known = view.topic(topic);
  if (known == nullptr) return {};
  if (known->internal()) return Error{ErrorCode::kInvalidTopic, topic.value() + " is internal"};
  if (known->settings->deletes()) return {};
  return Error{ErrorCode::kPolicyViolation, topic.value() + " is compacted only"};
}

Task<Result<Offset>> ask_delete(PartitionPtr partition, Offset before) {
  if (before.value() == -1) before = partition->high_watermark();
  co_return co_await partition->delete_records(before);
}

// Partitions that the request names more than once. Kafka refuses them: there is one answer to give.
std::set<std::pair<TopicName, PartitionId>> repeated(const wire::ListOffsetsRequest& request) {
  std::set<std::pair<TopicName, PartitionId>> seen, twice;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      std::pair name(topic.name, partition.partition_index);
      if (!seen.insert(name).second) twice.insert(std::move(name));
    }
  }
  return twice;
}

// Each partition once, with the offset named last: Kafka makes a map of the request.
std::vector<wire::DeleteRecordsRequest::Topic> last_words(std::vector<wire::DeleteRecordsRequest::Topic> topics) {
  std::vector<wire::DeleteRecordsRequest::Topic> out;
  std::map<TopicName, std::size_t> known_topics;
  std::map<std::pair<std::size_t, PartitionId>, std::size_t> known;
  for (auto& topic : topics) {
    auto [at, is_new] = known_topics.emplace(topic.name, out.size());
    if (is_new) out.push_back({topic.name, {}});
    auto& partitions = out[at->second].partitions;
    for (const auto& wanted : topic.partitions) {
      auto [place, first] = known.emplace(std::pair(at->second, wanted.partition_index), partitions.size());
      if (first)
        partitions.push_back(wanted);
      else
        partitions[place->second] = wanted;
    }
  }
  return out;
}

// A look-up by time announces a read: it is logged, and what it names is warmed (predictor.md, signal 2).
void announce(Services& services, const Context& context, const TopicName& topic, PartitionId id, std::int64_t time,
              Offset offset) {
  auto view = services.cluster.view();
  const auto* known = view->topic(topic);
  if (known == nullptr || known->name.value() == prefetch::kAccessLogTopic || offset == kNoOffset) return;
  prefetch::GroupEvent event;
  event.kind = prefetch::GroupEventKind::list_offsets;
  event.client = context.client->describe();
  event.offsets.push_back({PartitionKey{known->id, id}, offset, time});
  services.here().accesses.add(event);
  auto core = services.owner(event.offsets.front().partition);
  services.env.cores.post(
      core, [&services, core, event = std::move(event)] { services.at(core).prefetcher.on_group_event(event); });
}

// One partition of a ListOffsets request, and where its answer goes.
struct Question {
  const TopicName& topic;
  const wire::ListOffsetsRequest::Topic::Partition& wanted;
  wire::ListOffsetsResponse::Topic::Partition& out;
};

Task<void> answer(const Context& context, const Question& question, Deadline deadline) {
  auto& services = context.services;
  const auto& [topic, wanted, out] = question;
  auto found = co_await call_partition(services, topic, wanted.partition_index, deadline, ask_offset, wanted.timestamp,
                                       wanted.current_leader_epoch);
  if (!found) {
    out.error_code = found.error();
    co_return;
  }
  out.timestamp = found->timestamp;
  out.offset = found->offset;
  out.leader_epoch = found->epoch;
  if (wanted.timestamp >= 0)
    announce(services, context, topic, wanted.partition_index, wanted.timestamp, found->offset);
}

Task<void> answer_some(const Context& context, const std::vector<Question>& questions, std::size_t& next,
                       Deadline deadline) {
  while (next < questions.size()) {
    const auto& question = questions[next++];
    co_await answer(context, question, deadline);
  }
}

}  // namespace

Task<wire::ListOffsetsResponse> list_offsets(Context context, wire::ListOffsetsRequest request) {
  auto deadline = context.received + kAnswerWait;
  auto twice = repeated(request);
  wire::ListOffsetsResponse response;
  std::vector<Question> questions;
  response.topics.reserve(request.topics.size());
  for (const auto& topic : request.topics) {
    auto& answers = response.topics.emplace_back();
    answers.name = topic.name;
    answers.partitions.resize(topic.partitions.size());
    for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
      const auto& wanted = topic.partitions[i];
      auto& out = answers.partitions[i];
      out.partition_index = wanted.partition_index;
      if (twice.contains({topic.name, wanted.partition_index})) {
        out.error_code = ErrorCode::kInvalidRequest;
      } else {
        questions.push_back({topic.name, wanted, out});
      }
    }
  }
  std::size_t next = 0;
  TaskGroup askers(context.services.env.cores);
  while (askers.running() < kAskedTogether && next < questions.size())
    askers.spawn(answer_some(context, questions, next, deadline));
  co_await askers.join();
  co_return response;
}

Task<wire::OffsetForLeaderEpochResponse> offset_for_leader_epoch(Context context,
                                                                 wire::OffsetForLeaderEpochRequest request) {
  auto deadline = context.received + kAnswerWait;
  wire::OffsetForLeaderEpochResponse response;
  for (auto& topic : request.topics) {
    auto& answers = response.topics.emplace_back();
    answers.topic = topic.topic;
    for (auto& wanted : topic.partitions) {
      auto& out = answers.partitions.emplace_back();
      out.partition = wanted.partition;
      auto end = co_await call_partition(context.services, topic.topic, wanted.partition, deadline, ask_epoch_end,
                                         wanted.leader_epoch, wanted.current_leader_epoch);
      if (!end) {
        out.error_code = end.error();
        continue;
      }
      out.leader_epoch = end->epoch;
      out.end_offset = end->end;
    }
  }
  co_return response;
}

Task<wire::DeleteRecordsResponse> delete_records(Context context, wire::DeleteRecordsRequest request) {
  auto deadline = context.received + std::chrono::milliseconds(std::max(request.timeout_ms, 1));
  wire::DeleteRecordsResponse response;
  for (const auto& topic : last_words(std::move(request.topics))) {
    auto& answers = response.topics.emplace_back();
    answers.name = topic.name;
    auto refused = why_not_deleted(*context.services.cluster.view(), topic.name);
    for (const auto& wanted : topic.partitions) {
      auto& out = answers.partitions.emplace_back();
      out.partition_index = wanted.partition_index;
      if (refused) {
        out.error_code = *refused;
        out.low_watermark = kNoOffset;
        continue;
      }
      auto start = co_await call_partition(context.services, topic.name, wanted.partition_index, deadline, ask_delete,
                                           wanted.offset);
      if (start) {
        out.low_watermark = *start;
      } else {
        out.error_code = start.error();
        out.low_watermark = kNoOffset;
      }
    }
  }
  co_return response;
}

}  // namespace forelog::api
