#include "tests/simulation/group_member.h"

#include "broker/env/event.h"
#include "broker/wire/consumer_protocol.h"
#include "broker/wire/find_coordinator.h"
#include "broker/wire/heartbeat.h"
#include "broker/wire/join_group.h"
#include "broker/wire/leave_group.h"
#include "broker/wire/offset_commit.h"
#include "broker/wire/offset_fetch.h"
#include "broker/wire/sync_group.h"
#include "tests/simulation/reader.h"
#include "tests/simulation/wire_client.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int16_t kRebalanceInProgress = 27, kMemberIdRequired = 79;

struct Member {
  Trial& trial;
  GroupId group;
  env::SeededRandom random;
  MemberId id;
  std::int32_t generation = -1;
  std::vector<Position> assigned;
};

Error refusal(const char* what, wire::WireError error) {
  return {ErrorCode::kUnavailable, std::string(what) + ": code " + std::to_string(error.code)};
}

// The answer for one partition, whatever the order of topics and partitions.
template <class Topics>
auto* find(Topics& topics, const PartitionPlan& plan) {
  using Partition = std::remove_reference_t<decltype(topics.front().partitions.front())>;
  for (auto& topic : topics) {
    if (topic.name != plan.topic) continue;
    for (auto& partition : topic.partitions) {
      if (partition.partition_index == plan.partition) return &partition;
    }
  }
  return static_cast<Partition*>(nullptr);
}

Buffer subscription(const Trial& trial) {
  wire::ConsumerProtocolSubscription subscribed;
  for (const auto& [topic, id] : trial.topic_ids) subscribed.topics.push_back(topic);
  return wire::encode_data(subscribed, 1);
}

// All partitions, dealt out in turn.
std::vector<wire::SyncGroupRequest::Assignment> deal(const Trial& trial, const wire::JoinGroupResponse& joined) {
  std::vector<wire::ConsumerProtocolAssignment> hands(joined.members.size());
  std::size_t turn = 0;
  for (const auto& model : trial.models) {
    auto& hand = hands[turn++ % hands.size()];
    entry_of(hand.assigned_partitions, model->plan().topic, &wire::ConsumerProtocolTopic::topic)
        .partitions.push_back(model->plan().partition);
  }
  std::vector<wire::SyncGroupRequest::Assignment> out;
  for (std::size_t i = 0; i < hands.size(); ++i)
    out.push_back({joined.members[i].member_id, wire::encode_data(hands[i], 1)});
  return out;
}

Task<Result<void>> find_coordinator(Member& self, WireClient& client) {
  wire::FindCoordinatorRequest request;
  request.key = self.group.value();
  auto answer = CO_TRY(co_await client.call(std::move(request), 3, self.trial.patience()));
  if (!answer.error_code.ok()) co_return fail(refusal("FindCoordinator", answer.error_code));
  self.trial.violated_if(answer.host != self.trial.endpoint.host || answer.port != self.trial.endpoint.port,
                         "the coordinator is said to be at " + answer.host);
  co_return Result<void>{};
}

Task<Result<wire::JoinGroupResponse>> join(Member& self, WireClient& client) {
  auto version = client.version(wire::ApiKey::kJoinGroup, static_cast<int>(2 + self.random.below(8)));
  wire::JoinGroupResponse answer;
  for (int i = 0; i < 2; ++i) {
    wire::JoinGroupRequest request;
    request.group_id = self.group;
    request.session_timeout_ms = 6000;
    request.rebalance_timeout_ms = 6000;
    request.member_id = self.id;
    request.protocol_type = "consumer";
    request.protocols.push_back({"range", subscription(self.trial)});
    answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
    if (answer.error_code.code != kMemberIdRequired) break;
    self.id = answer.member_id;
  }
  if (!answer.error_code.ok()) {
    self.id = MemberId{};
    co_return fail(refusal("JoinGroup", answer.error_code));
  }
  self.id = answer.member_id;
  self.generation = answer.generation_id;
  co_return answer;
}

Task<Result<void>> synchronise(Member& self, WireClient& client, wire::JoinGroupResponse joined) {
  auto version = client.version(wire::ApiKey::kSyncGroup, 5);
  wire::SyncGroupRequest request;
  request.group_id = self.group;
  request.generation_id = self.generation;
  request.member_id = self.id;
  request.protocol_type = "consumer";
  request.protocol_name = "range";
  if (joined.leader == self.id) request.assignments = deal(self.trial, joined);
  auto answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
  if (!answer.error_code.ok()) co_return fail(refusal("SyncGroup", answer.error_code));
  auto hand = wire::decode_data<wire::ConsumerProtocolAssignment>(answer.assignment);
  if (!hand) {
    self.trial.violated("the assignment is not what the leader sent: " + hand.error().text());
    co_return fail(hand.error());
  }
  self.assigned.clear();
  for (const auto& topic : hand->assigned_partitions) {
    for (auto partition : topic.partitions) {
      auto* model = self.trial.find(topic.topic, partition);
      if (model != nullptr) self.assigned.push_back({model, Offset(0)});
    }
  }
  ++self.trial.rebalances;
  co_return Result<void>{};
}

// What the broker says the group committed, checked: the newest acknowledged commit, or one sent after it.
Task<Result<std::vector<Offset>>> fetch_committed(Trial& trial, WireClient& client, GroupId group,
                                                  std::vector<PartitionModel*> partitions) {
  wire::OffsetFetchRequest request;
  wire::OffsetFetchRequest::Group wanted;
  wanted.group_id = group;
  wanted.topics.emplace();
  for (const auto* model : partitions) {
    entry_of(*wanted.topics, model->plan().topic, &wire::OffsetFetchRequest::Topic::name)
        .partition_indexes.push_back(model->plan().partition);
  }
  request.groups.push_back(std::move(wanted));
  // What is acknowledged while the question is on its way may or may not be in the answer.
  std::vector<CommittedOffset> before;
  for (const auto* model : partitions) before.push_back(trial.committed[group.value()][model->name()]);
  auto answer = CO_TRY(co_await client.call(std::move(request), 8, trial.patience()));
  const auto& found = answer.groups.at(0);
  if (!found.error_code.ok()) co_return fail(refusal("OffsetFetch", found.error_code));
  std::vector<Offset> out;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto* partition = find(found.topics, partitions[i]->plan());
    trial.violated_if(partition == nullptr, "OffsetFetch leaves out " + partitions[i]->name());
    if (partition == nullptr || !partition->error_code.ok()) co_return fail(refusal("OffsetFetch", found.error_code));
    auto offset = partition->committed_offset;
    const auto& now = trial.committed[group.value()][partitions[i]->name()];
    auto unanswered = [&](const CommittedOffset& known) {
      return std::ranges::find(known.unanswered, offset) != known.unanswered.end();
    };
    bool known =
        offset == before[i].acknowledged || offset == now.acknowledged || unanswered(before[i]) || unanswered(now);
    trial.violated_if(!known, "group " + group.value() + " has committed " + std::to_string(offset.value()) + " of " +
                                  partitions[i]->name() + ", and " + std::to_string(before[i].acknowledged.value()) +
                                  " was acknowledged");
    out.push_back(offset);
  }
  co_return out;
}

Task<Result<void>> resume(Member& self, WireClient& client) {
  std::vector<PartitionModel*> partitions;
  for (const auto& position : self.assigned) partitions.push_back(position.model);
  auto offsets = CO_TRY(co_await fetch_committed(self.trial, client, self.group, std::move(partitions)));
  for (std::size_t i = 0; i < offsets.size(); ++i)
    self.assigned[i].offset = std::max(offsets[i], self.assigned[i].model->log_start);
  co_return Result<void>{};
}

Task<Result<void>> commit(Member& self, WireClient& client) {
  auto version = client.version(wire::ApiKey::kOffsetCommit, static_cast<int>(5 + self.random.below(4)));
  wire::OffsetCommitRequest request;
  request.group_id = self.group;
  request.generation_id_or_member_epoch = self.generation;
  request.member_id = self.id;
  auto& committed = self.trial.committed[self.group.value()];
  for (const auto& position : self.assigned) {
    const auto& plan = position.model->plan();
    entry_of(request.topics, plan.topic, &wire::OffsetCommitRequest::Topic::name)
        .partitions.push_back({plan.partition, position.offset, kNoEpoch, std::nullopt});
    committed[position.model->name()].unanswered.push_back(position.offset);
  }
  auto answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
  std::optional<wire::WireError> refused;
  for (const auto& position : self.assigned) {
    const auto* partition = find(answer.topics, position.model->plan());
    self.trial.violated_if(partition == nullptr, "OffsetCommit leaves out " + position.model->name());
    if (partition == nullptr || !partition->error_code.ok()) {
      refused = partition == nullptr ? wire::WireError(-1) : partition->error_code;
      continue;  // the record may be in the log all the same
    }
    committed[position.model->name()] = {position.offset, {}};
    ++self.trial.commits;
  }
  if (refused) co_return fail(refusal("OffsetCommit", *refused));
  co_return Result<void>{};
}

Task<Result<bool>> heartbeat(Member& self, WireClient& client) {
  wire::HeartbeatRequest request;
  request.group_id = self.group;
  request.generation_id = self.generation;
  request.member_id = self.id;
  auto answer = CO_TRY(co_await client.call(std::move(request), 3, self.trial.patience()));
  if (answer.error_code.code == kRebalanceInProgress) co_return false;
  if (!answer.error_code.ok()) {
    self.id = MemberId{};
    co_return fail(refusal("Heartbeat", answer.error_code));
  }
  co_return true;
}

Task<Result<void>> leave(Member& self, WireClient& client) {
  wire::LeaveGroupRequest request;
  request.group_id = self.group;
  request.members.push_back({self.id, std::nullopt, std::nullopt});
  self.id = MemberId{};
  (void)CO_TRY(co_await client.call(std::move(request), 3, self.trial.patience()));
  co_return Result<void>{};
}

// One generation: reads and commits until the group changes.
Task<Result<void>> work(Member& self, WireClient& client) {
  auto& trial = self.trial;
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + self.random.below(6)));
  auto joined = CO_TRY(co_await join(self, client));
  CO_TRY(co_await synchronise(self, client, std::move(joined)));
  CO_TRY(co_await resume(self, client));
  auto rounds = 3 + self.random.below(30);
  for (std::uint64_t round = 0; round < rounds && !trial.stopping; ++round) {
    FetchLimits limits;
    limits.partition_max = static_cast<Bytes>(1 + self.random.below(100'000));
    limits.wait_ms = 300;
    if (!self.assigned.empty()) CO_TRY(co_await fetch_once(trial, client, self.assigned, limits, version));
    if (self.random.chance(0.5) && !self.assigned.empty()) CO_TRY(co_await commit(self, client));
    if (!CO_TRY(co_await heartbeat(self, client))) co_return Result<void>{};
    auto pause = self.random.between({1ms, 150ms});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
  if (trial.stopping || self.random.chance(0.4)) co_return co_await leave(self, client);
  if (self.random.chance(0.3)) {  // falls silent: its session ends, and the others go on without it
    self.id = MemberId{};
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + 8s);
  }
  co_return Result<void>{};
}

Task<Result<void>> session(Member& self, WireClient& client) {
  CO_TRY(co_await client.open(self.trial.endpoint, self.trial.patience()));
  CO_TRY(co_await find_coordinator(self, client));
  for (int generation = 0; generation < 5 && !self.trial.stopping; ++generation) CO_TRY(co_await work(self, client));
  co_return Result<void>{};
}

}  // namespace

Task<void> take_part(Trial& trial, GroupId group, std::uint64_t seed) {
  Member self{.trial = trial, .group = group, .random = env::SeededRandom(seed), .id = {}, .assigned = {}};
  while (!trial.stopping && trial.violations.empty()) {
    WireClient client(trial.env, "group-" + group.value());
    auto done = co_await session(self, client);
    if (!done) ++trial.retries;
    auto pause = self.random.between({10ms, 300ms});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
}

Task<Result<void>> check_committed(Trial& trial, GroupId group) {
  WireClient client(trial.env, "group-" + group.value());
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  std::vector<PartitionModel*> partitions;
  for (auto& model : trial.models) partitions.push_back(model.get());
  (void)CO_TRY(co_await fetch_committed(trial, client, group, std::move(partitions)));
  co_return Result<void>{};
}

}  // namespace forelog::simulation
