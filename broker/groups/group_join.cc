// How members come into a group, come back, and take the place of another.
#include "broker/base/check.h"
#include "broker/groups/group.h"
#include "broker/groups/subscription.h"

#include <algorithm>
#include <utility>

namespace forelog::groups {
namespace {

// A new member learns its id from the answer to its join, so it cannot send heartbeats before; one that lost its
// connection meanwhile comes back as another new member. Without a bound, a long rebalance would fill with such ghosts.
constexpr Duration kNewMemberWaitMax = 5min;

}  // namespace

void Group::join(JoinEvent event, Moment at) {
  if (state_ == GroupState::dead) return refuse_join(event.request, ErrorCode::kCoordinatorNotAvailable, event.member);
  if (event.session_timeout < settings_.session_timeout_min || event.session_timeout > settings_.session_timeout_max) {
    return refuse_join(event.request, ErrorCode::kInvalidSessionTimeout, event.member);
  }
  if (!accepts(event.member)) {
    erase_member(event.member);
    refuse_join(event.request, ErrorCode::kGroupMaxSizeReached, event.member);
    return complete_join_if_all_joined(at);
  }
  if (!supports(event)) return refuse_join(event.request, ErrorCode::kInconsistentGroupProtocol, event.member);
  if (event.member.value().empty()) {
    join_new(event, at);
  } else {
    join_known(event, at);
  }
  complete_join_if_all_joined(at);
}

// In a rebalance those already waiting are counted, so that of a group that has become too large the last to come back
// have to go.
bool Group::accepts(const MemberId& id) const {
  auto size_max = static_cast<std::size_t>(settings_.size_max);
  auto member = members_.find(id);
  if (state_ == GroupState::empty) return pending_.contains(id) || pending_.size() < size_max;
  if (state_ != GroupState::preparing_rebalance) return member != members_.end() || members_.size() < size_max;
  if (member != members_.end() && member->second.awaiting_join) return true;
  auto waiting = std::ranges::count_if(members_, [](const auto& m) { return m.second.awaiting_join.has_value(); });
  return static_cast<std::size_t>(waiting) < size_max;
}

// Whether a protocol would remain that all members support.
bool Group::supports(const JoinEvent& event) const {
  if (event.protocol_type.empty() || event.protocols.empty()) return false;
  if (members_.empty()) return true;
  if (event.protocol_type != protocol_type_) return false;
  return std::ranges::any_of(event.protocols, [&](const Protocol& protocol) {
    return std::ranges::all_of(members_, [&](const auto& m) { return m.second.find(protocol.name) != nullptr; });
  });
}

void Group::join_new(JoinEvent& event, Moment at) {
  if (event.instance) {
    auto former = static_members_.find(*event.instance);
    if (former != static_members_.end()) return replace_static_member(event, MemberId(former->second), at);
  } else if (event.member_id_required) {
    // A client that gave up waiting would otherwise leave a member behind whose id nobody knows (KIP-394).
    pending_[event.fresh_member] = at.now + event.session_timeout;
    return refuse_join(event.request, ErrorCode::kMemberIdRequired, event.fresh_member);
  }
  add_member(event, event.fresh_member, at);
}

void Group::join_known(JoinEvent& event, Moment at) {
  if (pending_.contains(event.member)) {
    if (event.instance) return refuse_join(event.request, ErrorCode::kUnknownMemberId, event.member);
    return add_member(event, MemberId(event.member), at);
  }
  if (auto error = check_member({.member = event.member, .generation = generation_, .instance = event.instance})) {
    return refuse_join(event.request, *error, event.member);
  }
  auto& member = members_.at(event.member);
  bool unchanged = member.protocols == event.protocols;
  // With nothing changed, it has only missed the answer to its last join. A leader that joins a stable group wants a
  // rebalance: it has seen what the broker cannot, such as a topic with more partitions.
  bool repeats = (state_ == GroupState::completing_rebalance && unchanged) ||
                 (state_ == GroupState::stable && unchanged && leader_ != member.id);
  if (repeats) {
    heard_of(member, at);
    actions_.push_back(AnswerJoin{event.request, joined(member)});
    return;
  }
  update_member(member, event);
  prepare_rebalance(at);
}

void Group::add_member(JoinEvent& event, MemberId id, Moment at) {
  if (members_.empty()) protocol_type_ = event.protocol_type;
  if (!leader_) leader_ = id;
  if (state_ == GroupState::preparing_rebalance && initial_delay_) member_added_in_delay_ = true;
  pending_.erase(id);
  if (event.instance) static_members_[*event.instance] = id;
  Member member{.id = id, .instance = event.instance, .expires = at.now + kNewMemberWaitMax, .is_new = true};
  update_member(members_.insert_or_assign(id, std::move(member)).first->second, event);
  prepare_rebalance(at);
}

void Group::update_member(Member& member, JoinEvent& event) {
  // An earlier request of the same member came over a connection that it has given up.
  answer_join(member, {.error = ErrorCode::kRebalanceInProgress, .member = member.id});
  member.client_id = std::move(event.client_id);
  member.client_host = std::move(event.client_host);
  member.session_timeout = event.session_timeout;
  member.rebalance_timeout = event.rebalance_timeout;
  member.protocols = std::move(event.protocols);
  member.awaiting_join = event.request;
}

JoinReply Group::joined(const Member& member) const {
  JoinReply reply{.member = member.id,
                  .generation = generation_,
                  .protocol_type = protocol_type_,
                  .protocol = protocol_,
                  .leader = leader_.value_or(MemberId{})};
  if (leader_ != member.id) return reply;
  for (const auto& [id, each] : members_) {
    const auto* protocol = each.find(protocol_.value_or(""));
    reply.members.push_back({id, each.instance, protocol != nullptr ? protocol->metadata : Buffer{}});
  }
  return reply;
}

void Group::refuse_join(RequestId request, ErrorCode error, MemberId member) {
  actions_.push_back(AnswerJoin{request, {.error = error, .member = std::move(member)}});
}

// --- a restarted static member (KIP-345) ----------------------------------------------------------------------------

void Group::replace_static_member(JoinEvent& event, const MemberId& former_id, Moment at) {
  auto former_leader = leader_.value_or(MemberId{});
  auto node = members_.extract(former_id);
  auto& member = node.mapped();
  // Two processes with one instance id: the older one is fenced off at once.
  answer_join(member, {.error = ErrorCode::kFencedInstanceId, .member = former_id});
  answer_sync(member, ErrorCode::kFencedInstanceId);
  Replacement replacement{.former = member,
                          .successor = event.fresh_member,
                          .request = event.request,
                          .former_leader = former_leader,
                          .skip_assignment_understood = event.skip_assignment_understood};
  node.key() = event.fresh_member;
  member.id = event.fresh_member;
  member.is_new = false;
  update_member(member, event);
  heard_of(member, at);
  static_members_[*member.instance] = member.id;
  if (leader_ == former_id) leader_ = member.id;
  if (pending_syncs_.erase(former_id) > 0) pending_syncs_.insert(member.id);
  const auto* former_protocol = replacement.former.find(protocol_.value_or(""));
  const auto* new_protocol = member.find(protocol_.value_or(""));
  bool same_topics =
      former_protocol != nullptr && new_protocol != nullptr &&
      subscribes_to_the_same(protocol_type_.value_or(""), former_protocol->metadata, new_protocol->metadata);
  members_.insert(std::move(node));

  // In the middle of a rebalance the leader may have assigned to the old id already. Only a stable group can take the
  // newcomer without one, and only if nothing that the assignment depends on has changed.
  if (state_ == GroupState::stable && same_topics && choose_protocol() == protocol_) {
    Write write{.generation = generation_, .assignments = {}, .replacement = std::move(replacement)};
    return persist(std::move(write), snapshot());
  }
  prepare_rebalance(at);
}

void Group::finish_replacement(const Replacement& replacement, MaybeError error, Moment at) {
  auto found = members_.find(replacement.successor);
  if (found == members_.end() || found->second.awaiting_join != replacement.request) return;
  auto& member = found->second;
  if (!error) {
    auto reply = joined(member);
    // Before v9 a client that is told to be leader would assign anew, in a generation that has its assignment. So it is
    // told of the former leader, which is nobody now; it takes its old assignment as a follower.
    reply.skip_assignment = replacement.skip_assignment_understood && leader_ == member.id;
    if (!replacement.skip_assignment_understood) reply.leader = replacement.former_leader, reply.members.clear();
    heard_of(member, at);
    return answer_join(member, std::move(reply));
  }
  answer_join(member, {.error = error, .member = {}, .leader = replacement.former_leader});
  auto former = replacement.former;
  heard_of(former, at);
  if (leader_ == member.id) leader_ = former.id;
  if (pending_syncs_.erase(member.id) > 0) pending_syncs_.insert(former.id);
  static_members_[*former.instance] = former.id;
  members_.erase(found);
  members_.insert_or_assign(former.id, std::move(former));
}

}  // namespace forelog::groups
