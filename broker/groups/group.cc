#include "broker/groups/group.h"

#include "broker/base/check.h"
#include "broker/groups/subscription.h"

#include <algorithm>
#include <utility>

namespace forelog::groups {

std::string_view name_of(GroupState state) {
  switch (state) {
    case GroupState::empty:
      return "Empty";
    case GroupState::preparing_rebalance:
      return "PreparingRebalance";
    case GroupState::completing_rebalance:
      return "CompletingRebalance";
    case GroupState::stable:
      return "Stable";
    case GroupState::dead:
      return "Dead";
  }
  return "Dead";
}

const Protocol* Group::Member::find(std::string_view protocol) const {
  auto at = std::ranges::find(protocols, protocol, &Protocol::name);
  return at == protocols.end() ? nullptr : &*at;
}

Group::Group(GroupId id, const GroupSettings& settings, Moment at)
    : id_(std::move(id)), settings_(settings), state_since_(at.wall) {}

Group::Group(GroupId id, const GroupSettings& settings, GroupSnapshot stored, Moment at)
    : id_(std::move(id)),
      settings_(settings),
      state_(stored.members.empty() ? GroupState::empty : GroupState::stable),
      state_since_(stored.state_since),
      generation_(stored.generation),
      protocol_(std::move(stored.protocol)),
      leader_(std::move(stored.leader)) {
  if (!stored.protocol_type.empty()) protocol_type_ = std::move(stored.protocol_type);
  for (auto& from : stored.members) {
    Member member{.id = from.id,
                  .instance = from.instance,
                  .client_id = std::move(from.client_id),
                  .client_host = std::move(from.client_host),
                  .session_timeout = from.session_timeout,
                  .rebalance_timeout = from.rebalance_timeout,
                  .protocols = {{protocol_.value_or(""), std::move(from.subscription)}},
                  .assignment = std::move(from.assignment),
                  .expires = at.now + from.session_timeout};
    if (member.instance) static_members_[*member.instance] = member.id;
    members_.insert_or_assign(member.id, std::move(member));
  }
  if (leader_ && !members_.contains(*leader_)) leader_.reset();
  if (!leader_ && !members_.empty()) leader_ = members_.begin()->first;
  subscribed_topics_ = topics_of_members();
}

GroupSnapshot Group::snapshot() const {
  GroupSnapshot out{.protocol_type = protocol_type_.value_or(""),
                    .generation = generation_,
                    .protocol = protocol_,
                    .leader = leader_,
                    .state_since = state_since_,
                    .members = {}};
  for (const auto& [id, member] : members_) {
    const auto* protocol = protocol_ ? member.find(*protocol_) : nullptr;
    out.members.push_back({.id = id,
                           .instance = member.instance,
                           .client_id = member.client_id,
                           .client_host = member.client_host,
                           .rebalance_timeout = member.rebalance_timeout,
                           .session_timeout = member.session_timeout,
                           .subscription = protocol != nullptr ? protocol->metadata : Buffer{},
                           .assignment = member.assignment});
  }
  return out;
}

// --- what members ask -----------------------------------------------------------------------------------------------

MaybeError Group::check_member(const MemberClaim& claim) const {
  if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
  if (claim.instance) {
    auto at = static_members_.find(*claim.instance);
    if (at == static_members_.end()) return ErrorCode::kUnknownMemberId;
    if (at->second != claim.member) return ErrorCode::kFencedInstanceId;
  }
  if (!members_.contains(claim.member)) return ErrorCode::kUnknownMemberId;
  return {};
}

void Group::sync(SyncEvent event, Moment at) {
  auto refuse = [&](ErrorCode error) { actions_.push_back(AnswerSync{event.request, {.error = error}}); };
  if (auto error = check_member(event.claim)) return refuse(*error);
  if (event.claim.generation != generation_) return refuse(ErrorCode::kIllegalGeneration);
  if ((event.protocol_type && event.protocol_type != protocol_type_) ||
      (event.protocol && event.protocol != protocol_)) {
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  }
  if (state_ == GroupState::preparing_rebalance) return refuse(ErrorCode::kRebalanceInProgress);

  auto& member = members_.at(event.claim.member);
  if (member.awaiting_sync) answer_sync(member, ErrorCode::kRebalanceInProgress);
  member.awaiting_sync = event.request;
  pending_syncs_.erase(member.id);
  if (pending_syncs_.empty()) sync_deadline_ = kForever;
  if (state_ == GroupState::stable) {
    heard_of(member, at);
    return answer_sync(member, {});
  }
  if (member.id != leader_) return;
  // A leader that asks again, having lost the connection, waits for the write that its first request began.
  bool being_stored = std::ranges::any_of(
      writes_, [&](const auto& write) { return write.second.is_assignment && write.second.generation == generation_; });
  if (being_stored) return;

  Write write{.generation = generation_, .assignments = {}, .replacement = {}, .is_assignment = true};
  auto stored = snapshot();
  stored.state_since = at.wall;
  for (auto& to : stored.members) {
    auto given = event.assignments.find(to.id);
    to.assignment = given == event.assignments.end() ? Buffer{} : given->second;
    write.assignments[to.id] = to.assignment;
  }
  persist(std::move(write), std::move(stored));
}

MaybeError Group::heartbeat(const MemberClaim& claim, Moment at) {
  if (auto error = check_member(claim)) return error;
  if (claim.generation != generation_) return ErrorCode::kIllegalGeneration;
  heard_of(members_.at(claim.member), at);
  // While the group completes a rebalance, members may beat between the answers to their join and their sync.
  if (state_ == GroupState::preparing_rebalance) return ErrorCode::kRebalanceInProgress;
  return {};
}

MaybeError Group::leave(const MemberClaim& claim, Moment at) {
  if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
  if (claim.member.value().empty()) {
    if (!claim.instance || !static_members_.contains(*claim.instance)) return ErrorCode::kUnknownMemberId;
    remove_member(static_members_.at(*claim.instance), at);
    return {};
  }
  if (pending_.erase(claim.member) > 0) {
    complete_join_if_all_joined(at);
    return {};
  }
  if (auto error = check_member(claim)) return error;
  remove_member(claim.member, at);
  return {};
}

MaybeError Group::check_commit(const MemberClaim& claim, Moment at) {
  if (state_ == GroupState::dead) return ErrorCode::kCoordinatorNotAvailable;
  // Who names no generation only keeps offsets here. It may do so under any id while nobody is in the group.
  if (claim.generation < GroupGeneration{0} && state_ == GroupState::empty) return {};
  bool is_member =
      claim.generation >= GroupGeneration{0} || !claim.member.value().empty() || claim.instance.has_value();
  if (!is_member) return ErrorCode::kUnknownMemberId;
  if (auto error = check_member(claim)) return error;
  if (claim.generation != generation_) return ErrorCode::kIllegalGeneration;
  // It knows the new generation, so its partitions may be another's by now; let it sync first.
  if (state_ == GroupState::completing_rebalance) return ErrorCode::kRebalanceInProgress;
  heard_of(members_.at(claim.member), at);
  return {};
}

void Group::die(ErrorCode error) {
  for (auto& [id, member] : members_) {
    answer_join(member, {.error = error, .member = id});
    answer_sync(member, error);
  }
  state_ = GroupState::dead;
  members_.clear();
  static_members_.clear();
  pending_.clear();
  pending_syncs_.clear();
  writes_.clear();
  leader_.reset();
  join_deadline_ = sync_deadline_ = kForever;
}

// --- time -----------------------------------------------------------------------------------------------------------

// Who waits for an answer cannot send heartbeats. A new member could wait for ever, though: it has no session yet.
bool Group::is_exempt_from_expiry(const Member& member) const {
  return !member.is_new && (member.awaiting_join || member.awaiting_sync);
}

Instant Group::next_timer() const {
  auto next = std::min(join_deadline_, sync_deadline_);
  for (const auto& [id, until] : pending_) next = std::min(next, until);
  for (const auto& [id, member] : members_) {
    if (!is_exempt_from_expiry(member)) next = std::min(next, member.expires);
  }
  return next;
}

void Group::tick(Moment at) {
  if (std::erase_if(pending_, [&](const auto& entry) { return entry.second <= at.now; }) > 0)
    complete_join_if_all_joined(at);
  std::vector<MemberId> expired;
  for (const auto& [id, member] : members_) {
    if (!is_exempt_from_expiry(member) && member.expires <= at.now) expired.push_back(id);
  }
  for (const auto& id : expired) remove_member(id, at);
  if (join_deadline_ <= at.now) {
    if (initial_delay_) {
      extend_or_end_initial_delay(at);
    } else {
      end_join_phase(at);
    }
  }
  if (sync_deadline_ <= at.now) expire_sync_phase(at);
}

// --- rebalancing ----------------------------------------------------------------------------------------------------

void Group::prepare_rebalance(Moment at) {
  if (state_ == GroupState::preparing_rebalance || state_ == GroupState::dead) return;
  answer_all_syncs(ErrorCode::kRebalanceInProgress);
  pending_syncs_.clear();
  sync_deadline_ = kForever;
  initial_delay_ = state_ == GroupState::empty;
  member_added_in_delay_ = false;
  auto limit = rebalance_timeout();
  auto wait = limit;
  if (initial_delay_) {
    // Consumers of a group start one after another; waiting a little saves a rebalance for each.
    wait = settings_.initial_rebalance_delay;
    initial_delay_left_ = std::max(limit - wait, Duration{0});
  }
  join_deadline_ = at.now + wait;
  enter(GroupState::preparing_rebalance, at);
  complete_join_if_all_joined(at);
}

void Group::extend_or_end_initial_delay(Moment at) {
  if (!member_added_in_delay_ || initial_delay_left_ == Duration{0}) return end_join_phase(at);
  member_added_in_delay_ = false;
  auto step = std::min(settings_.initial_rebalance_delay, initial_delay_left_);
  initial_delay_left_ -= step;
  join_deadline_ = at.now + step;
}

void Group::complete_join_if_all_joined(Moment at) {
  if (state_ != GroupState::preparing_rebalance || initial_delay_ || !pending_.empty()) return;
  if (std::ranges::all_of(members_, [](const auto& m) { return m.second.awaiting_join.has_value(); }))
    end_join_phase(at);
}

void Group::end_join_phase(Moment at) {
  // A dynamic member that did not come back is out, and leads no longer. A static one may be restarting: its session
  // decides.
  std::vector<MemberId> gone;
  for (const auto& [id, member] : members_) {
    if (!member.awaiting_join && !member.instance) gone.push_back(id);
  }
  for (const auto& id : gone) erase_member(id);
  if (!members_.empty() && !elect_leader_among_joined()) {
    join_deadline_ = at.now + std::max(rebalance_timeout(), Duration{1s});
    initial_delay_ = false;
    return;
  }
  start_generation(at);
}

bool Group::elect_leader_among_joined() {
  auto joined = [](const auto& m) { return m.second.awaiting_join.has_value(); };
  if (leader_) {
    auto current = members_.find(*leader_);
    if (current != members_.end() && joined(*current)) return true;
  }
  auto first = std::ranges::find_if(members_, joined);
  if (first == members_.end()) return false;
  leader_ = first->first;
  return true;
}

void Group::start_generation(Moment at) {
  join_deadline_ = kForever;
  initial_delay_ = false;
  ++generation_;
  if (members_.empty()) {
    leader_.reset();
    protocol_.reset();
    subscribed_topics_ = topics_of_members();
    enter(GroupState::empty, at);
    return persist({.generation = generation_, .assignments = {}, .replacement = {}}, snapshot());
  }
  protocol_ = choose_protocol();
  subscribed_topics_ = topics_of_members();
  enter(GroupState::completing_rebalance, at);
  for (auto& [id, member] : members_) {
    // The assignment of the last generation may be another member's in this one.
    member.assignment = {};
    if (member.awaiting_join) answer_join(member, joined(member));
    heard_of(member, at);
    member.is_new = false;
    pending_syncs_.insert(id);
  }
  sync_deadline_ = at.now + rebalance_timeout();
}

// A member that took part in the join and then does not ask for its assignment would hold partitions that nobody reads
// (KAFKA-12890).
void Group::expire_sync_phase(Moment at) {
  sync_deadline_ = kForever;
  if (pending_syncs_.empty()) return;
  for (const auto& id : std::exchange(pending_syncs_, {})) erase_member(id);
  prepare_rebalance(at);
}

void Group::remove_member(MemberId id, Moment at) {
  erase_member(id);
  if (state_ == GroupState::preparing_rebalance) {
    complete_join_if_all_joined(at);
  } else {
    prepare_rebalance(at);
  }
}

void Group::erase_member(const MemberId& id) {
  auto found = members_.find(id);
  if (found == members_.end()) return;
  answer_join(found->second, {.error = ErrorCode::kUnknownMemberId, .member = {}});
  answer_sync(found->second, ErrorCode::kUnknownMemberId);
  if (found->second.instance) static_members_.erase(*found->second.instance);
  pending_syncs_.erase(id);
  bool led = leader_ == id;
  members_.erase(found);
  if (!led) return;
  leader_.reset();
  if (!members_.empty()) leader_ = members_.begin()->first;
}

// --- storing --------------------------------------------------------------------------------------------------------

void Group::persist(Write write, GroupSnapshot stored) {
  auto ticket = next_ticket_;
  ++next_ticket_;
  writes_.emplace(ticket, std::move(write));
  actions_.push_back(Persist{ticket, std::move(stored)});
}

void Group::persisted(Ticket ticket, MaybeError error, Moment at) {
  auto found = writes_.find(ticket);
  if (found == writes_.end()) return;
  auto write = std::move(found->second);
  writes_.erase(found);
  if (write.generation != generation_) return;  // a later rebalance has overtaken it
  if (write.replacement) {
    if (state_ == GroupState::stable) finish_replacement(*write.replacement, error, at);
    return;
  }
  if (!write.is_assignment || state_ != GroupState::completing_rebalance) return;
  if (error) {
    answer_all_syncs(error);
    return prepare_rebalance(at);
  }
  for (auto& [id, member] : members_) {
    member.assignment = write.assignments[id];
    if (!member.awaiting_sync) continue;
    answer_sync(member, {});
    heard_of(member, at);
  }
  enter(GroupState::stable, at);
}

// --- small parts ----------------------------------------------------------------------------------------------------

void Group::enter(GroupState state, Moment at) {
  state_ = state;
  state_since_ = at.wall;
}

void Group::answer_join(Member& member, JoinReply reply) {
  if (auto request = std::exchange(member.awaiting_join, {}))
    actions_.push_back(AnswerJoin{*request, std::move(reply)});
}

void Group::answer_sync(Member& member, MaybeError error) {
  auto request = std::exchange(member.awaiting_sync, {});
  if (!request) return;
  SyncReply reply{.error = error, .protocol_type = protocol_type_, .protocol = protocol_, .assignment = {}};
  if (!error) reply.assignment = member.assignment;
  actions_.push_back(AnswerSync{*request, std::move(reply)});
}

void Group::answer_all_syncs(MaybeError error) {
  for (auto& [id, member] : members_) answer_sync(member, error);
}

Duration Group::rebalance_timeout() const {
  Duration longest{};
  for (const auto& [id, member] : members_) longest = std::max(longest, member.rebalance_timeout);
  return longest;
}

// Each member votes for the first in its list that all support; names decide ties.
std::string Group::choose_protocol() const {
  auto all_support = [this](const Protocol& protocol) {
    return std::ranges::all_of(members_, [&](const auto& m) { return m.second.find(protocol.name) != nullptr; });
  };
  std::map<std::string, int> votes;
  for (const auto& [id, member] : members_) {
    auto choice = std::ranges::find_if(member.protocols, all_support);
    CHECK(choice != member.protocols.end(), "a member without a protocol in common with all was let in");
    ++votes[choice->name];
  }
  return std::ranges::max_element(votes, {}, [](const auto& vote) { return vote.second; })->first;
}

std::optional<std::set<std::string>> Group::topics_of_members() const {
  if (protocol_type_ != kConsumerProtocolType) return {};
  if (!protocol_) return members_.empty() ? std::optional<std::set<std::string>>{std::in_place} : std::nullopt;
  std::set<std::string> all;
  for (const auto& [id, member] : members_) {
    const auto* protocol = member.find(*protocol_);
    auto topics = protocol != nullptr ? topics_of_subscription(protocol->metadata) : std::nullopt;
    if (!topics) return {};
    all.merge(*topics);
  }
  return all;
}

}  // namespace forelog::groups
