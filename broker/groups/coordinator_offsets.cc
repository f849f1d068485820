// Committed offsets: taken, told, deleted, forgotten for their age.
#include "broker/base/log.h"
#include "broker/groups/coordinator_use.h"

#include <algorithm>
#include <utility>

namespace forelog::groups {
namespace {

constexpr Duration kForgetRetry = 1s;

// Where in the response an offset's error goes, once its record is written or not.
struct PendingCommit {
  TopicPartition partition;
  CommittedOffset committed;
  std::size_t topic = 0;
  std::size_t index = 0;
};

// The answer with `error` for each partition, to be corrected where a partition has its own.
wire::OffsetCommitResponse answer_all(const wire::OffsetCommitRequest& request, wire::WireError error) {
  wire::OffsetCommitResponse response;
  for (const auto& topic : request.topics) {
    auto& to = response.topics.emplace_back();
    to.name = topic.name;
    for (const auto& partition : topic.partitions) {
      auto& each = to.partitions.emplace_back();
      each.partition_index = partition.partition_index;
      each.error_code = error;
    }
  }
  return response;
}

// What makes the record of an offset too large is what its client says with it.
ErrorCode answer_to_failed_commit(const Error& error) {
  bool too_large = error.code == ErrorCode::kMessageTooLarge || error.code == ErrorCode::kRecordListTooLarge;
  return too_large ? ErrorCode::kInvalidCommitOffsetSize : answer_to_failed_write(error);
}

}  // namespace

Task<wire::OffsetCommitResponse> Coordinator::commit(wire::OffsetCommitRequest request, ClientPtr client) {
  Use use(*this);
  auto group_id = request.group_id;
  auto partition = locate(group_id, true);
  if (!partition) co_return answer_all(request, partition.error());
  MemberClaim claim{.member = request.member_id, .generation = GroupGeneration(request.generation_id_or_member_epoch)};
  if (request.group_instance_id) claim.instance = InstanceId(*request.group_instance_id);
  // A group that does not exist can have no generation; who has none may use it to keep offsets.
  if (!find(group_id) && claim.generation >= GroupGeneration{0}) {
    co_return answer_all(request, ErrorCode::kIllegalGeneration);
  }
  auto entry = find_or_make(group_id, *partition);
  auto refused = entry->group.check_commit(claim, moment());
  carry_out(entry);
  if (refused) {
    drop_if_unused(entry);
    co_return answer_all(request, *refused);
  }

  auto response = answer_all(request, {});
  auto now = clock_.wall();
  std::vector<PendingCommit> commits;
  for (std::size_t t = 0; t < request.topics.size(); ++t) {
    for (std::size_t p = 0; p < request.topics[t].partitions.size(); ++p) {
      auto& from = request.topics[t].partitions[p];
      CommittedOffset committed{.offset = from.committed_offset,
                                .leader_epoch = from.committed_leader_epoch,
                                .metadata = std::move(from.committed_metadata).value_or(""),
                                .committed = now};
      if (request.retention_time_ms >= 0) {
        // Bounded by a century, which keeps the sum in range.
        auto retention = std::min<std::int64_t>(request.retention_time_ms, 100LL * 365 * 24 * 3600 * 1000);
        committed.expires = now + std::chrono::milliseconds(retention);
      }
      if (committed.metadata.size() > static_cast<std::size_t>(settings_.offset_metadata_size_max)) {
        response.topics[t].partitions[p].error_code = ErrorCode::kOffsetMetadataTooLarge;
        continue;
      }
      commits.push_back({{request.topics[t].name, from.partition_index}, std::move(committed), t, p});
    }
  }
  if (commits.empty()) {
    drop_if_unused(entry);
    co_return response;
  }

  std::vector<StoredRecord> records;
  for (const auto& each : commits) {
    entry->offsets.begin_commit(each.partition);
    records.emplace_back(OffsetRecord{group_id, each.partition, each.committed});
  }
  auto written = co_await store_.append(entry->partition, std::move(records));
  GroupEvents::Committed told;
  for (std::size_t i = 0; i < commits.size(); ++i) {
    auto& each = commits[i];
    if (written) {
      entry->offsets.end_commit(each.partition);
      told.emplace_back(each.partition, each.committed.offset);
      entry->offsets.put(each.partition, std::move(each.committed), (*written)[i]);
    } else {
      entry->offsets.fail_commit(each.partition);
      response.topics[each.topic].partitions[each.index].error_code = answer_to_failed_commit(written.error());
    }
  }
  if (!written) {
    ++metrics_.failed_writes;
    log_line(warn, "offsets_not_stored", {{"group", group_id}, {"error", written.error()}});
    drop_if_unused(entry);
    co_return response;
  }
  metrics_.commits.add(static_cast<std::int64_t>(commits.size()));
  bool by_nobody =
      claim.generation < GroupGeneration{0} && claim.member.value().empty() && entry->group.protocol_type().has_value();
  events_.committed(group_id, claim, by_nobody, told, std::move(client));
  co_return response;
}

Task<wire::OffsetFetchResponse::Group> Coordinator::fetch(wire::OffsetFetchRequest::Group request, ClientPtr client) {
  Use use(*this);
  wire::OffsetFetchResponse::Group response;
  response.group_id = request.group_id;
  auto partition = locate(request.group_id, true);
  if (!partition) {
    response.error_code = partition.error();
    co_return response;
  }
  auto entry = find(request.group_id);
  static const Offsets kNone;
  const auto& offsets = entry ? entry->offsets : kNone;
  std::vector<TopicPartition> wanted;
  if (request.topics) {
    for (const auto& topic : *request.topics) {
      response.topics.emplace_back().name = topic.name;
      for (auto index : topic.partition_indexes) wanted.push_back({topic.name, index});
    }
  } else {
    for (const auto& [each, committed] : offsets.all()) wanted.push_back(each);
  }
  GroupEvents::Committed told;
  std::size_t at = 0;
  for (const auto& each : wanted) {
    while (at < response.topics.size() && response.topics[at].name != each.topic) ++at;
    if (at == response.topics.size()) response.topics.emplace_back().name = each.topic;
    auto& to = response.topics[at].partitions.emplace_back();
    to.partition_index = each.partition;
    to.committed_offset = kNoOffset;
    to.metadata = "";
    if (const auto* committed = offsets.find(each)) {
      to.committed_offset = committed->offset;
      to.committed_leader_epoch = committed->leader_epoch;
      to.metadata = committed->metadata;
    }
    told.emplace_back(each, to.committed_offset);
  }
  events_.fetched(request.group_id, told, std::move(client));
  co_return response;
}

Task<wire::OffsetDeleteResponse> Coordinator::delete_offsets(wire::OffsetDeleteRequest request) {
  Use use(*this);
  wire::OffsetDeleteResponse response;
  auto refuse = [&response](wire::WireError error) {
    response = {};
    response.error_code = error;
    return response;
  };
  auto partition = locate(request.group_id, true);
  if (!partition) co_return refuse(partition.error());
  auto entry = find(request.group_id);
  if (!entry) co_return refuse(ErrorCode::kGroupIdNotFound);
  const auto& group = entry->group;
  bool in_use = group.state() != GroupState::empty;
  // Which offsets the members of other protocol types use, only they know.
  if (in_use && (group.protocol_type() != kConsumerProtocolType || !group.subscribed_topics())) {
    co_return refuse(ErrorCode::kNonEmptyGroup);
  }
  std::vector<TopicPartition> gone;
  auto known = entry->offsets.partitions();
  for (const auto& topic : request.topics) {
    auto& to = response.topics.emplace_back();
    to.name = topic.name;
    bool subscribed = in_use && group.subscribed_topics()->contains(topic.name.value());
    for (const auto& each : topic.partitions) {
      auto& result = to.partitions.emplace_back();
      result.partition_index = each.partition_index;
      TopicPartition key{topic.name, each.partition_index};
      if (subscribed) {
        result.error_code = ErrorCode::kGroupSubscribedToTopic;
      } else if (std::ranges::binary_search(known, key)) {
        gone.push_back(std::move(key));
      }
    }
  }
  auto forgotten = co_await forget(entry, std::move(gone));
  if (!forgotten) co_return refuse(answer_to_failed_write(forgotten.error()));
  co_return response;
}

Task<void> Coordinator::forget_topic(TopicName topic) {
  Use use(*this);
  // At once and not one after another: what is committed from now on is of a topic made again under the name.
  TaskGroup all(cores_);
  for (const auto& [id, entry] : groups_) {
    if (!entry->offsets.places(topic).empty()) all.spawn(forget_topic_in(entry, topic));
  }
  co_await all.join();
}

// What is committed while this goes on is of a topic made again under the name, and stays.
Task<void> Coordinator::forget_topic_in(EntryPtr entry, TopicName topic) {
  auto gone = entry->offsets.places(topic);
  for (bool told = false; !gone.empty() && !stopping_ && is_current(entry);) {
    std::vector<TopicPartition> partitions;
    for (const auto& [partition, logged] : gone) partitions.push_back(partition);
    auto forgotten = co_await forget(entry, std::move(partitions));
    if (forgotten) co_return;
    if (!std::exchange(told, true))
      log_line(warn, "offsets_not_deleted", {{"topic", topic}, {"error", forgotten.error()}});
    co_await changed_.wait(clock_.now() + kForgetRetry);
    auto now = entry->offsets.places(topic);
    std::erase_if(gone, [&](const auto& each) {
      auto at = now.find(each.first);
      return at == now.end() || at->second != each.second;
    });
  }
}

Task<void> Coordinator::forget_gone_topics(PartitionId partition) {
  if (!topic_is_gone_) co_return;
  std::set<TopicName> topics;
  for (const auto& [id, entry] : groups_) {
    if (entry->partition != partition) continue;
    for (const auto& each : entry->offsets.partitions()) topics.insert(each.topic);
  }
  for (const auto& topic : topics) {
    bool gone = co_await topic_is_gone_(topic);
    if (stopping_) co_return;
    if (gone) co_await forget_topic(topic);
  }
}

// Writes tombstones, then forgets. Commits that are written meanwhile stand behind the tombstones, and stay.
Task<Result<void>> Coordinator::forget(EntryPtr entry, std::vector<TopicPartition> partitions) {
  if (partitions.empty()) co_return Result<void>{};
  std::vector<StoredRecord> records;
  for (const auto& each : partitions) records.emplace_back(OffsetRecord{entry->group.id(), each});
  auto written = CO_TRY(co_await store_.append(entry->partition, std::move(records)));
  for (std::size_t i = 0; i < partitions.size(); ++i) entry->offsets.forget(partitions[i], written[i]);
  co_return Result<void>{};
}

Task<void> Coordinator::expire(Coordinator& self) {
  std::vector<EntryPtr> all;
  for (const auto& [id, entry] : self.groups_) all.push_back(entry);
  for (const auto& entry : all) {
    if (self.stopping_) break;
    if (!self.is_current(entry) || entry->deleting) continue;
    auto gone = entry->offsets.expired(entry->group, self.clock_.wall(), self.settings_.offsets_retention);
    auto count = static_cast<std::int64_t>(gone.size());
    auto done = co_await self.forget(entry, std::move(gone));
    if (done) self.metrics_.expired_offsets.add(count);
    bool nothing_left = self.is_current(entry) && !entry->deleting && entry->group.state() == GroupState::empty &&
                        !entry->group.has_pending_members() && entry->offsets.has_none();
    if (done && nothing_left) done = co_await self.bury(entry);
    if (!done) log_line(warn, "offsets_not_expired", {{"group", entry->group.id()}, {"error", done.error()}});
  }
  self.expiring_ = false;
}

// Deletes an empty group with all that it has committed. Until that is written, or has failed, it takes no requests.
Task<Result<void>> Coordinator::bury(EntryPtr entry) {
  std::vector<StoredRecord> records;
  for (const auto& each : entry->offsets.partitions()) records.emplace_back(OffsetRecord{entry->group.id(), each});
  if (entry->in_log) records.emplace_back(GroupRecord{entry->group.id()});
  if (!records.empty()) {
    entry->deleting = true;
    auto written = co_await store_.append(entry->partition, std::move(records));
    entry->deleting = false;
    if (!written) co_return fail(std::move(written).error());
  }
  if (!is_current(entry)) co_return fail(ErrorCode::kNotLeader, entry->group.id().value());
  kill(entry, ErrorCode::kCoordinatorNotAvailable);
  co_return Result<void>{};
}

}  // namespace forelog::groups
