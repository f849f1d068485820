#include "broker/groups/coordinator.h"

#include "broker/base/log.h"
#include "broker/groups/coordinator_use.h"
#include "broker/groups/partition_of.h"

#include <algorithm>
#include <utility>

namespace forelog::groups {
namespace {

// Joins and syncs are answered by the group's own deadlines; this bounds the wait if those have a fault.
constexpr Duration kRebalanceGrace = 1min;
constexpr Duration kLoadRetryPause = 200ms;

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(MetricsRegistry& registry)
    : groups(registry, "forelog_groups", "Consumer groups coordinated here."),
      rebalances(registry, "forelog_group_rebalances_total", "Generations begun."),
      commits(registry, "forelog_group_committed_offsets_total", "Offsets committed."),
      expired_offsets(registry, "forelog_group_expired_offsets_total", "Committed offsets forgotten for their age."),
      failed_writes(registry, "forelog_group_failed_writes_total", "Writes to __consumer_offsets that failed.") {}

Coordinator::Coordinator(env::Cores& cores, env::Random& random, InternalLog& log, GroupEventSink& events,
                         const GroupSettings& settings, MetricsRegistry& metrics)
    : cores_(cores),
      clock_(cores.clock()),
      random_(random),
      log_(log),
      settings_(settings),
      store_(clock_, log, settings),
      events_(events),
      metrics_(metrics),
      wake_(clock_),
      changed_(clock_),
      idle_(clock_),
      tasks_(cores) {}

Coordinator::~Coordinator() { CHECK(requests_ == 0, "stop the coordinator before it goes"); }

void Coordinator::start() {
  next_expiry_check_ = clock_.now() + settings_.offsets_retention_check_interval;
  tasks_.spawn(run_timers(*this));
}

Task<void> Coordinator::stop() {
  stopping_ = true;
  while (!led_.empty()) resign(led_.begin()->first);
  wake_.notify();
  changed_.notify();
  while (requests_ > 0) co_await idle_.wait(kForever);
  co_await tasks_.join();
}

// --- leading partitions ---------------------------------------------------------------------------------------------

void Coordinator::lead(PartitionId partition) {
  if (stopping_ || led_.contains(partition)) return;
  auto term = ++last_term_;
  led_[partition] = {.term = term, .loaded = false};
  tasks_.spawn(load(*this, partition, term));
}

void Coordinator::resign(PartitionId partition) {
  if (led_.erase(partition) == 0) return;
  std::vector<EntryPtr> gone;
  for (const auto& [id, entry] : groups_) {
    if (entry->partition == partition) gone.push_back(entry);
  }
  for (const auto& entry : gone)
    kill(entry, stopping_ ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kNotCoordinator);
  changed_.notify();
}

bool Coordinator::leads(PartitionId partition, std::uint64_t term) const {
  auto led = led_.find(partition);
  return !stopping_ && led != led_.end() && led->second.term == term;
}

Task<void> Coordinator::load(Coordinator& self, PartitionId partition, std::uint64_t term) {
  auto began = self.clock_.now();
  while (self.leads(partition, term)) {
    std::function<bool()> keep_going = [&self, partition, term] { return self.leads(partition, term); };
    auto loaded = co_await self.store_.load(partition, std::move(keep_going));
    if (!self.leads(partition, term)) co_return;
    if (loaded) {
      log_line(loaded->empty() ? debug : info, "groups_loaded",
               {{"partition", partition}, {"groups", loaded->size()}, {"ms", to_ms(self.clock_.now() - began)}});
      self.install(partition, std::move(*loaded));
      co_return co_await self.forget_gone_topics(partition);
    }
    log_line(warn, "groups_not_loaded", {{"partition", partition}, {"error", loaded.error()}});
    co_await self.changed_.wait(self.clock_.now() + kLoadRetryPause);
  }
}

void Coordinator::install(PartitionId partition, GroupStore::StoredGroups stored) {
  led_[partition].loaded = true;
  for (auto& [id, from] : stored) {
    // When the topic has got more partitions, a group may stand in two: the one in which it is looked for counts.
    if (auto other = find(id)) {
      bool is_its_place = partition_of(id, log_.partition_count()) == partition;
      log_line(warn, "group_in_two_partitions",
               {{"group", id}, {"partition", is_its_place ? partition : other->partition}});
      if (!is_its_place) continue;
      kill(other, ErrorCode::kNotCoordinator);
    }
    EntryPtr entry;
    if (from.snapshot) {
      entry = std::make_shared<Entry>(id, settings_, partition, std::move(*from.snapshot), moment());
      entry->in_log = true;
    } else {
      entry = std::make_shared<Entry>(id, settings_, partition, moment());
    }
    entry->offsets = std::move(from.offsets);
    entry->counted = entry->group.generation();
    groups_[id] = entry;
    carry_out(entry);
  }
  metrics_.groups.set(static_cast<std::int64_t>(groups_.size()));
}

// --- finding groups -------------------------------------------------------------------------------------------------

Result<PartitionId> Coordinator::locate(const GroupId& id, bool may_be_empty) const {
  if (stopping_) return fail(ErrorCode::kCoordinatorNotAvailable, "stopping");
  if (id.value().empty() && !may_be_empty) return fail(ErrorCode::kInvalidGroupId, "empty");
  auto count = log_.partition_count();
  if (count <= 0) return fail(ErrorCode::kCoordinatorNotAvailable, "no " + std::string(kOffsetsTopic) + " yet");
  auto partition = partition_of(id, count);
  auto led = led_.find(partition);
  if (led == led_.end()) return fail(ErrorCode::kNotCoordinator, id.value());
  if (!led->second.loaded) return fail(ErrorCode::kCoordinatorLoadInProgress, id.value());
  auto entry = find(id);
  if (entry && entry->deleting) return fail(ErrorCode::kCoordinatorLoadInProgress, id.value() + " is being deleted");
  return partition;
}

Coordinator::EntryPtr Coordinator::find(const GroupId& id) const {
  auto at = groups_.find(id);
  return at == groups_.end() ? nullptr : at->second;
}

Coordinator::EntryPtr Coordinator::find_or_make(const GroupId& id, PartitionId partition) {
  auto& entry = groups_[id];
  if (!entry) entry = std::make_shared<Entry>(id, settings_, partition, moment());
  metrics_.groups.set(static_cast<std::int64_t>(groups_.size()));
  return entry;
}

bool Coordinator::is_current(const EntryPtr& entry) const { return find(entry->group.id()) == entry; }

void Coordinator::drop(const EntryPtr& entry) {
  if (!is_current(entry)) return;
  set_timer(*entry, kForever);
  groups_.erase(entry->group.id());
  metrics_.groups.set(static_cast<std::int64_t>(groups_.size()));
}

void Coordinator::drop_if_unused(const EntryPtr& entry) {
  const auto& group = entry->group;
  bool unused = group.state() == GroupState::empty && group.generation() == GroupGeneration{0} && !entry->in_log &&
                !group.has_pending_members() && entry->offsets.empty();
  if (unused) drop(entry);
}

void Coordinator::kill(const EntryPtr& entry, ErrorCode error) {
  entry->group.die(error);
  carry_out(entry);
  drop(entry);
}

// --- timers and actions ---------------------------------------------------------------------------------------------

void Coordinator::carry_out(const EntryPtr& entry) {
  for (;;) {
    for (auto& action : entry->group.take_actions()) {
      if (auto* join = std::get_if<AnswerJoin>(&action)) answer(joins_, join->request, std::move(join->reply));
      if (auto* sync = std::get_if<AnswerSync>(&action)) answer(syncs_, sync->request, std::move(sync->reply));
      if (auto* write = std::get_if<Persist>(&action)) tasks_.spawn(persist(*this, entry, std::move(*write)));
    }
    if (entry->group.next_timer() > clock_.now()) break;
    entry->group.tick(moment());
  }
  if (entry->counted < entry->group.generation()) {
    metrics_.rebalances.add(entry->group.generation() - entry->counted);
    entry->counted = entry->group.generation();
  }
  if (is_current(entry)) set_timer(*entry, entry->group.next_timer());
}

void Coordinator::set_timer(Entry& entry, Instant at) {
  if (entry.timer == at) return;
  if (entry.timer != kForever) timers_.erase({entry.timer, entry.group.id()});
  entry.timer = at;
  if (at == kForever) return;
  bool earliest = timers_.empty() || at < timers_.begin()->first;
  timers_.insert({at, entry.group.id()});
  if (earliest) wake_.notify();
}

Task<void> Coordinator::run_timers(Coordinator& self) {
  while (!self.stopping_) {
    auto now = self.clock_.now();
    if (self.next_expiry_check_ <= now) {
      self.next_expiry_check_ = now + self.settings_.offsets_retention_check_interval;
      if (!std::exchange(self.expiring_, true)) self.tasks_.spawn(expire(self));
    }
    auto next = self.timers_.empty() ? kForever : self.timers_.begin()->first;
    if (next <= now) {
      auto entry = self.find(self.timers_.begin()->second);
      CHECK(entry != nullptr, "a timer of a group that is gone");
      entry->group.tick(self.moment());
      self.carry_out(entry);
      continue;
    }
    co_await self.wake_.wait(std::min(next, self.next_expiry_check_));
  }
}

Task<void> Coordinator::persist(Coordinator& self, EntryPtr entry, Persist action) {
  std::vector<StoredRecord> records{GroupRecord{entry->group.id(), std::move(action.snapshot)}};
  // Whoever deletes the group meanwhile, or after a write that seemed to fail, has to write a tombstone behind it.
  entry->in_log = true;
  auto written = co_await self.store_.append(entry->partition, std::move(records));
  MaybeError error;
  if (!written) {
    ++self.metrics_.failed_writes;
    error = answer_to_failed_write(written.error());
    log_line(warn, "group_not_stored", {{"group", entry->group.id()}, {"error", written.error()}});
  }
  entry->group.persisted(action.ticket, error, self.moment());
  self.carry_out(entry);
}

ErrorCode answer_to_failed_write(const Error& error) {
  switch (error.code) {
    case ErrorCode::kNotLeader:
    case ErrorCode::kStorageError:
      return ErrorCode::kNotCoordinator;
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kNotEnoughReplicas:
    case ErrorCode::kNotEnoughReplicasAfterAppend:
      return ErrorCode::kCoordinatorNotAvailable;
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
      return ErrorCode::kUnknown;
    default:
      return is_retriable(error.code) ? ErrorCode::kCoordinatorNotAvailable : ErrorCode::kUnknown;
  }
}

// --- waiting --------------------------------------------------------------------------------------------------------

template <class Reply>
void Coordinator::answer(Waiters<Reply>& waiters, RequestId request, Reply reply) {
  auto at = waiters.find(request);
  if (at == waiters.end()) return;  // it has waited for too long
  at->second->reply = std::move(reply);
  at->second->answered.notify();
}

template <class Reply>
Task<std::optional<Reply>> Coordinator::wait(Waiters<Reply>& waiters, RequestId request,
                                             prefetch::ConnectionId connection, Deadline deadline) {
  auto waiting = waiters.at(request);
  waiting_.insert({connection, request});
  while (!waiting->reply && !waiting->nobody_reads) {
    if (!co_await waiting->answered.wait(deadline)) break;
  }
  waiting_.erase({connection, request});
  waiters.erase(request);
  co_return std::move(waiting->reply);
}

void Coordinator::client_gone(prefetch::ConnectionId connection) {
  auto wake = [](auto& waiters, RequestId request) {
    auto found = waiters.find(request);
    if (found == waiters.end()) return;
    found->second->nobody_reads = true;
    found->second->answered.notify();
  };
  auto first = waiting_.lower_bound({connection, RequestId{0}});
  for (auto at = first; at != waiting_.end() && at->first == connection; ++at) {
    wake(joins_, at->second);
    wake(syncs_, at->second);
  }
}

Deadline Coordinator::rebalance_deadline(const Group& group, Duration at_least) const {
  auto longest = std::max(at_least, group.rebalance_timeout());
  return clock_.now() + longest + settings_.initial_rebalance_delay + kRebalanceGrace;
}

// --- requests of members --------------------------------------------------------------------------------------------

namespace {

// "client-3f0c…": what tools show and people recognise. Random, so that no restart of anything repeats one.
MemberId fresh_member_id(env::Random& random, const std::string& client_id, const std::optional<InstanceId>& instance) {
  constexpr std::size_t kNameMax = 1024;
  constexpr std::string_view kHex = "0123456789abcdef";
  auto id = (instance ? instance->value() : client_id).substr(0, kNameMax) + "-";
  auto uuid = random.topic_id();
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += kHex[uuid.bytes[i] >> 4];
    id += kHex[uuid.bytes[i] & 15];
  }
  return MemberId(std::move(id));
}

std::optional<InstanceId> instance_of(const std::optional<std::string>& name) {
  return name ? std::optional(InstanceId(*name)) : std::nullopt;
}

JoinEvent event_of(wire::JoinGroupRequest& request, wire::Version version, const prefetch::ClientInfo& client) {
  auto session = std::chrono::milliseconds(request.session_timeout_ms);
  bool own_rebalance_timeout = version >= 1 && request.rebalance_timeout_ms >= 0;
  JoinEvent event{
      .member = std::move(request.member_id),
      .instance = instance_of(request.group_instance_id),
      .client_id = client.client_id,
      .client_host = "/" + client.host,
      .session_timeout = session,
      .rebalance_timeout = own_rebalance_timeout ? std::chrono::milliseconds(request.rebalance_timeout_ms) : session,
      .protocol_type = std::move(request.protocol_type),
      .member_id_required = version >= 4,
      .skip_assignment_understood = version >= 9};
  // Copies: a member lives longer than the frame that it came in.
  for (auto& protocol : request.protocols) {
    event.protocols.push_back({std::move(protocol.name), Buffer::copy_of(protocol.metadata.view())});
  }
  return event;
}

}  // namespace

Task<wire::JoinGroupResponse> Coordinator::join(wire::JoinGroupRequest request, wire::Version version,
                                                ClientPtr client) {
  Use use(*this);
  wire::JoinGroupResponse response;
  response.member_id = request.member_id;
  auto refuse = [&response](wire::WireError error) {
    response.error_code = error;
    return response;
  };
  auto group_id = request.group_id;
  auto partition = locate(group_id);
  if (!partition) co_return refuse(partition.error());
  if (request.protocols.size() > kProtocolsMax) co_return refuse(ErrorCode::kInconsistentGroupProtocol);
  if (!request.member_id.value().empty() && !find(group_id)) co_return refuse(ErrorCode::kUnknownMemberId);

  auto entry = find_or_make(group_id, *partition);
  auto event = event_of(request, version, *client);
  auto instance = event.instance;
  auto deadline = rebalance_deadline(entry->group, event.rebalance_timeout);
  ++last_request_;
  auto id = event.request = last_request_;
  event.fresh_member = fresh_member_id(random_, client->client_id, instance);
  joins_.emplace(id, std::make_shared<Waiting<JoinReply>>(clock_));
  // Told when it comes and not when it is answered: what the group will read is warmed while it waits for its members.
  // A member without an id is sent away for one first, and counts when it is back.
  bool comes_back = event.member.value().empty() && event.member_id_required && !instance;
  MemberClaim claim{.member = event.member, .generation = entry->group.generation(), .instance = instance};
  auto connection = client->connection;
  if (!comes_back) events_.joining(group_id, claim, entry->offsets, std::move(client));
  entry->group.join(std::move(event), moment());
  carry_out(entry);
  drop_if_unused(entry);

  auto reply = co_await wait(joins_, id, connection, deadline);
  if (!reply) co_return refuse(ErrorCode::kRebalanceInProgress);
  response.member_id = reply->member;
  if (reply->error) response.error_code = *reply->error;
  response.generation_id = reply->generation.value();
  response.protocol_type = reply->protocol_type;
  response.protocol_name = reply->protocol;
  response.leader = reply->leader;
  response.skip_assignment = reply->skip_assignment;
  for (const auto& member : reply->members) {
    auto& to = response.members.emplace_back();
    to.member_id = member.member;
    if (member.instance) to.group_instance_id = member.instance->value();
    to.metadata = member.metadata;
  }
  co_return response;
}

Task<wire::SyncGroupResponse> Coordinator::sync(wire::SyncGroupRequest request, ClientPtr client) {
  Use use(*this);
  wire::SyncGroupResponse response;
  auto refuse = [&response](wire::WireError error) {
    response.error_code = error;
    return response;
  };
  auto partition = locate(request.group_id);
  // What it has learned may be lost with a coordinator that has only begun; it joins again and is told what holds.
  if (!partition && partition.error().code == ErrorCode::kCoordinatorLoadInProgress) {
    co_return refuse(ErrorCode::kRebalanceInProgress);
  }
  if (!partition) co_return refuse(partition.error());
  auto entry = find(request.group_id);
  if (!entry) co_return refuse(ErrorCode::kUnknownMemberId);

  ++last_request_;
  auto id = last_request_;
  MemberClaim claim{.member = request.member_id,
                    .generation = GroupGeneration(request.generation_id),
                    .instance = instance_of(request.group_instance_id)};
  SyncEvent event{.request = id,
                  .claim = claim,
                  .protocol_type = std::move(request.protocol_type),
                  .protocol = std::move(request.protocol_name)};
  for (auto& each : request.assignments) {
    event.assignments[std::move(each.member_id)] = Buffer::copy_of(each.assignment.view());
  }
  auto deadline = rebalance_deadline(entry->group, settings_.offsets_commit_timeout);
  syncs_.emplace(id, std::make_shared<Waiting<SyncReply>>(clock_));
  entry->group.sync(std::move(event), moment());
  carry_out(entry);

  auto reply = co_await wait(syncs_, id, client->connection, deadline);
  if (!reply) co_return refuse(ErrorCode::kRebalanceInProgress);
  if (reply->error) co_return refuse(*reply->error);
  response.protocol_type = reply->protocol_type;
  response.protocol_name = reply->protocol;
  response.assignment = reply->assignment;
  events_.synced(request.group_id, claim, *reply, entry->offsets, std::move(client));
  co_return response;
}

Task<wire::HeartbeatResponse> Coordinator::heartbeat(wire::HeartbeatRequest request) {
  Use use(*this);
  wire::HeartbeatResponse response;
  auto partition = locate(request.group_id);
  // While the group loads nobody can say that the member is not in it.
  if (!partition && partition.error().code == ErrorCode::kCoordinatorLoadInProgress) co_return response;
  auto entry = partition ? find(request.group_id) : nullptr;
  if (!partition) {
    response.error_code = partition.error();
  } else if (!entry) {
    response.error_code = ErrorCode::kUnknownMemberId;
  } else {
    MemberClaim claim{.member = std::move(request.member_id),
                      .generation = GroupGeneration(request.generation_id),
                      .instance = instance_of(request.group_instance_id)};
    if (auto error = entry->group.heartbeat(claim, moment())) response.error_code = *error;
    carry_out(entry);
  }
  co_return response;
}

Task<wire::LeaveGroupResponse> Coordinator::leave(wire::LeaveGroupRequest request, wire::Version version,
                                                  ClientPtr client) {
  Use use(*this);
  wire::LeaveGroupResponse response;
  auto partition = locate(request.group_id);
  if (!partition) {
    response.error_code = partition.error();
    co_return response;
  }
  if (version < 3) request.members.emplace_back().member_id = std::move(request.member_id);
  auto entry = find(request.group_id);
  for (auto& member : request.members) {
    MemberClaim claim{.member = member.member_id, .instance = instance_of(member.group_instance_id)};
    MaybeError error = ErrorCode::kUnknownMemberId;
    if (entry) error = entry->group.leave(claim, moment());
    auto& to = response.members.emplace_back();
    to.member_id = std::move(member.member_id);
    to.group_instance_id = std::move(member.group_instance_id);
    if (error) to.error_code = *error;
    if (!error) events_.left(request.group_id, claim, client);
  }
  if (entry) carry_out(entry);
  if (version < 3) response.error_code = response.members.front().error_code;
  co_return response;
}

}  // namespace forelog::groups
