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
constexpr Offset kForged{1'000'000'000'000};  // no partition here ever gets that far

struct Member {
  Trial& trial;
  GroupId group;
  env::SeededRandom random;
  std::optional<std::string> instance;  // a static member's name
  MemberId id;
  std::int32_t generation = -1;
  std::vector<Position> assigned;

  // Who it is to the others: a static member stays the same under another id.
  MemberId name() const { return instance ? MemberId(*instance) : id; }
  int version(int lowest, std::uint64_t more) {
    return static_cast<int>(lowest + static_cast<int>(random.below(more)));
  }
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
  self.trial.violated_if(Oracle::answers,
                         answer.host != self.trial.endpoint.host || answer.port != self.trial.endpoint.port,
                         "the coordinator is said to be at " + answer.host);
  co_return Result<void>{};
}

// The newest generation of which somebody was given an assignment.
std::int32_t newest_generation(const Trial& trial, const GroupId& group) {
  auto found = trial.owners.find(group.value());
  return found == trial.owners.end() || found->second.empty() ? -1 : found->second.rbegin()->first;
}

Task<Result<wire::JoinGroupResponse>> join(Member& self, WireClient& client) {
  auto version = client.version(wire::ApiKey::kJoinGroup, self.instance ? self.version(5, 5) : self.version(2, 8));
  auto newest = newest_generation(self.trial, self.group);
  wire::JoinGroupResponse answer;
  for (int i = 0; i < 2; ++i) {
    wire::JoinGroupRequest request;
    request.group_id = self.group;
    auto patience = std::max<std::int64_t>(6000, 2 * to_ms(self.trial.reader_pause_max));
    request.session_timeout_ms = request.rebalance_timeout_ms = static_cast<std::int32_t>(patience);
    request.member_id = self.id;
    request.group_instance_id = self.instance;
    request.protocol_type = "consumer";
    if (self.random.chance(0.5)) request.protocols.push_back({"roundrobin", subscription(self.trial)});
    request.protocols.push_back({"range", subscription(self.trial)});
    answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
    if (answer.error_code.code != kMemberIdRequired) break;
    self.id = answer.member_id;
  }
  if (!answer.error_code.ok()) {
    self.id = MemberId{};
    co_return fail(refusal("JoinGroup", answer.error_code));
  }
  self.trial.violated_if(Oracle::assignment, answer.generation_id < newest,
                         "group " + self.group.value() + " falls back to generation " +
                             std::to_string(answer.generation_id) + ", and had given out assignments of " +
                             std::to_string(newest));
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
  request.group_instance_id = self.instance;
  request.protocol_type = "consumer";
  request.protocol_name = joined.protocol_name.value_or("");
  if (joined.leader == self.id && !joined.skip_assignment) request.assignments = deal(self.trial, joined);
  auto answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
  if (!answer.error_code.ok()) co_return fail(refusal("SyncGroup", answer.error_code));
  auto hand = wire::decode_data<wire::ConsumerProtocolAssignment>(answer.assignment);
  if (!hand) {
    self.trial.violated(Oracle::assignment, "the assignment is not what the leader sent: " + hand.error().text());
    co_return fail(hand.error());
  }
  self.assigned.clear();
  for (const auto& topic : hand->assigned_partitions) {
    for (auto partition : topic.partitions) {
      auto* model = self.trial.find(topic.topic, partition);
      if (model == nullptr) continue;
      self.assigned.push_back({model, Offset(0)});
      auto& owner =
          self.trial.owners[self.group.value()][self.generation].try_emplace(model->name(), self.name()).first->second;
      self.trial.violated_if(Oracle::assignment, owner != self.name(),
                             model->name() + " has two consumers in generation " + std::to_string(self.generation) +
                                 " of " + self.group.value() + ": " + owner.value() + " and " + self.name().value());
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
    trial.violated_if(Oracle::answers, partition == nullptr, "OffsetFetch leaves out " + partitions[i]->name());
    if (partition == nullptr || !partition->error_code.ok()) co_return fail(refusal("OffsetFetch", found.error_code));
    auto offset = partition->committed_offset;
    const auto& now = trial.committed[group.value()][partitions[i]->name()];
    auto unanswered = [&](const CommittedOffset& known) {
      return std::ranges::find(known.unanswered, offset) != known.unanswered.end();
    };
    bool known =
        offset == before[i].acknowledged || offset == now.acknowledged || unanswered(before[i]) || unanswered(now);
    trial.violated_if(Oracle::commits, !known,
                      "group " + group.value() + " has committed " + std::to_string(offset.value()) + " of " +
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
  auto version = client.version(wire::ApiKey::kOffsetCommit, self.instance ? self.version(7, 2) : self.version(5, 4));
  wire::OffsetCommitRequest request;
  request.group_id = self.group;
  request.generation_id_or_member_epoch = self.generation;
  request.member_id = self.id;
  request.group_instance_id = self.instance;
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
    self.trial.violated_if(Oracle::answers, partition == nullptr, "OffsetCommit leaves out " + position.model->name());
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

// A commit that must be refused: of another generation, or by a member that nobody knows.
Task<Result<void>> forge(Member& self, WireClient& client) {
  wire::OffsetCommitRequest request;
  request.group_id = self.group;
  bool old_generation = self.random.chance(0.5);
  request.generation_id_or_member_epoch = self.generation - (old_generation ? 1 : 0);
  request.member_id = old_generation ? self.id : MemberId("nobody");
  const auto& plan = self.assigned.front().model->plan();
  request.topics.push_back({plan.topic, {{plan.partition, kForged, kNoEpoch, std::nullopt}}});
  auto answer = CO_TRY(co_await client.call(std::move(request), 8, self.trial.patience()));
  const auto* partition = find(answer.topics, plan);
  ++self.trial.members_fenced;
  self.trial.violated_if(Oracle::commits, partition != nullptr && partition->error_code.ok(),
                         "group " + self.group.value() + " takes the commit of " +
                             (old_generation ? "an old generation" : "somebody it does not know"));
  co_return Result<void>{};
}

Task<Result<bool>> heartbeat(Member& self, WireClient& client) {
  wire::HeartbeatRequest request;
  request.group_id = self.group;
  request.generation_id = self.generation;
  request.member_id = self.id;
  request.group_instance_id = self.instance;
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
  request.members.push_back({self.id, self.instance, std::nullopt});
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
    if (self.random.chance(0.05) && !self.assigned.empty()) CO_TRY(co_await forge(self, client));
    auto pause = self.random.between({1ms, trial.reader_pause_max});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
  // A static member that goes says nothing: it means to come back before its session ends.
  bool leaves = trial.stopping || self.random.chance(self.instance ? 0.1 : 0.4);
  if (leaves) co_return co_await leave(self, client);
  if (self.random.chance(0.3)) {  // falls silent: its session ends, and the others go on without it
    self.id = MemberId{};
    auto silence = self.random.between({100ms, 10s});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + silence);
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

Task<void> take_part(Trial& trial, GroupId group, int place, std::uint64_t seed) {
  Member self{
      .trial = trial, .group = group, .random = env::SeededRandom(seed), .instance = {}, .id = {}, .assigned = {}};
  if (self.random.chance(0.4)) self.instance = group.value() + "-place" + std::to_string(place);
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
