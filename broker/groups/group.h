// group.h: the membership of one consumer group: who is in, who leads, which generation holds (the "classic" protocol).
//
// Pure: no I/O, no clock; the caller passes the moment. Belongs to the core that coordinates the group. Each event
// leaves actions behind: take and carry them out, in order, before the next event. Call `tick` when `next_timer` is
// reached.
//
//   Empty ──join──▶ PreparingRebalance ──all joined──▶ CompletingRebalance ──leader's assignment stored──▶ Stable
//     ▲                  │     ▲                                                                              │
//     └──nobody left─────┘     └──────────────── a member joins, leaves, expires, or changes its mind ────────┘
//
// Invariants: the leader is a member; every request is answered exactly once; the generation never falls; nobody gets
// an assignment that has not been stored; a generation's assignment never changes.
#pragma once

#include "broker/groups/settings.h"
#include "broker/groups/types.h"

#include <set>

namespace forelog::groups {

class Group {
 public:
  // `settings` outlives the group.
  Group(GroupId id, const GroupSettings& settings, Moment at);
  Group(GroupId id, const GroupSettings& settings, GroupSnapshot stored, Moment at);  // as found in the log

  // Answered by AnswerJoin: at once, or when the rebalance that it takes part in ends.
  void join(JoinEvent event, Moment at);
  // Answered by AnswerSync: at once, or when the leader's assignment has been stored.
  void sync(SyncEvent event, Moment at);
  MaybeError heartbeat(const MemberClaim& claim, Moment at);
  // An empty member with an instance is an administrator's removal of that instance.
  MaybeError leave(const MemberClaim& claim, Moment at);
  // Whether `claim` may commit offsets now; counts as a heartbeat. A claim of nobody may while the group has no
  // members.
  MaybeError check_commit(const MemberClaim& claim, Moment at);
  void tick(Moment at);
  void persisted(Ticket ticket, MaybeError error, Moment at);
  // Answers all who wait with `error`; the group is dead from now on. Nothing is persisted.
  void die(ErrorCode error);

  Actions take_actions() { return std::exchange(actions_, {}); }
  Instant next_timer() const;  // kForever when nothing is due

  struct Member {
    MemberId id{};
    std::optional<InstanceId> instance{};
    std::string client_id{};
    std::string client_host{};
    Duration session_timeout{};
    Duration rebalance_timeout{};
    std::vector<Protocol> protocols{};
    Buffer assignment{};
    Instant expires{};    // unless it is heard of before
    bool is_new = false;  // knows its id only from the answer that it waits for
    std::optional<RequestId> awaiting_join{};
    std::optional<RequestId> awaiting_sync{};

    const Protocol* find(std::string_view protocol) const;
  };

  const GroupId& id() const { return id_; }
  GroupState state() const { return state_; }
  GroupGeneration generation() const { return generation_; }
  const std::optional<std::string>& protocol_type() const { return protocol_type_; }
  const std::optional<std::string>& protocol() const { return protocol_; }
  const std::optional<MemberId>& leader() const { return leader_; }
  const std::map<MemberId, Member>& members() const { return members_; }
  Duration rebalance_timeout() const;  // the longest of its members
  bool has_pending_members() const { return !pending_.empty(); }
  // Since when the group has been in its state; none if the log did not say.
  std::optional<WallTime> state_since() const { return state_since_; }
  // Topics that the members of this generation subscribe to; none when the broker cannot know.
  const std::optional<std::set<std::string>>& subscribed_topics() const { return subscribed_topics_; }
  GroupSnapshot snapshot() const;

 private:
  // A replaced static member, kept until its successor has been stored.
  struct Replacement {
    Member former{};
    MemberId successor{};
    RequestId request{};
    MemberId former_leader{};
    bool skip_assignment_understood = false;
  };
  struct Write {
    GroupGeneration generation{};
    std::map<MemberId, Buffer> assignments{};  // of the leader's sync
    std::optional<Replacement> replacement{};
    bool is_assignment = false;
  };

  // Joining (group_join.cc).
  void join_new(JoinEvent& event, Moment at);
  void join_known(JoinEvent& event, Moment at);
  void add_member(JoinEvent& event, MemberId id, Moment at);
  void update_member(Member& member, JoinEvent& event);
  void replace_static_member(JoinEvent& event, const MemberId& former_id, Moment at);
  void finish_replacement(const Replacement& replacement, MaybeError error, Moment at);
  bool accepts(const MemberId& id) const;
  bool supports(const JoinEvent& event) const;
  JoinReply joined(const Member& member) const;

  // Rebalancing.
  void prepare_rebalance(Moment at);
  void complete_join_if_all_joined(Moment at);
  void end_join_phase(Moment at);
  void expire_sync_phase(Moment at);
  void extend_or_end_initial_delay(Moment at);
  bool elect_leader_among_joined();
  void start_generation(Moment at);

  MaybeError check_member(const MemberClaim& claim) const;
  void remove_member(MemberId id, Moment at);  // by value: often a reference into what it erases
  void erase_member(const MemberId& id);
  void heard_of(Member& member, Moment at) { member.expires = at.now + member.session_timeout; }
  bool is_exempt_from_expiry(const Member& member) const;
  std::string choose_protocol() const;
  std::optional<std::set<std::string>> topics_of_members() const;

  void enter(GroupState state, Moment at);
  void persist(Write write, GroupSnapshot snapshot);
  void refuse_join(RequestId request, ErrorCode error, MemberId member);
  void answer_join(Member& member, JoinReply reply);
  void answer_sync(Member& member, MaybeError error);
  void answer_all_syncs(MaybeError error);

  GroupId id_;
  const GroupSettings& settings_;
  GroupState state_ = GroupState::empty;
  std::optional<WallTime> state_since_;
  GroupGeneration generation_{0};
  std::optional<std::string> protocol_type_;
  std::optional<std::string> protocol_;
  std::optional<MemberId> leader_;
  std::map<MemberId, Member> members_;
  std::map<InstanceId, MemberId> static_members_;
  std::map<MemberId, Instant> pending_;  // were told an id, have not joined with it yet; until when
  std::optional<std::set<std::string>> subscribed_topics_;

  Instant join_deadline_ = kForever;
  bool initial_delay_ = false;     // `join_deadline_` ends a step of the initial delay
  Duration initial_delay_left_{};  // further steps may take no longer than this
  bool member_added_in_delay_ = false;
  Instant sync_deadline_ = kForever;
  std::set<MemberId> pending_syncs_;  // have not asked for their assignment in this generation

  std::map<Ticket, Write> writes_;
  Ticket next_ticket_{1};
  Actions actions_;
};

}  // namespace forelog::groups
