// The core of a consumer group under clients that say anything at any time, with writes that fail and times that pass.
//
// Held against it: every request is answered exactly once; the leader is a member; generations never fall; nobody gets
// an assignment that was not stored; of a generation each assignment is one member's; what it stores, a restarted
// coordinator takes up; once all are silent, the group runs empty.
#include "broker/groups/group.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace forelog::groups {
namespace {

using fuzz::Decisions;

class Session {
 public:
  explicit Session(Decisions& in) : in_(in) {
    settings_.initial_rebalance_delay = std::chrono::milliseconds(in.between(0, 300));
    settings_.size_max = in.between<std::int32_t>(1, 6);
    group_.emplace(GroupId("g"), settings_, at_);
  }

  void run() {
    for (auto steps = in_.between<int>(0, 60); steps > 0; --steps) {
      step();
      carry_out();
      check();
    }
    settle();
  }

 private:
  struct Client {
    MemberId id{};
    GroupGeneration generation = kNoGeneration;
  };

  void step() {
    auto& client = clients_[in_.between<std::size_t>(0, std::size(clients_) - 1)];
    switch (in_.between<int>(0, 9)) {
      case 0:
      case 1:
      case 2:
        return join(client);
      case 3:
      case 4:
        return sync(client);
      case 5:
        static_cast<void>(group_->heartbeat(claim(client), at_));
        return;
      case 6: {
        auto claimed = claim(client);
        if (group_->check_commit(claimed, at_)) return;
        bool nobody = claimed.member.value().empty() && claimed.generation < GroupGeneration{0} && !claimed.instance;
        CHECK(nobody ? group_->members().empty() : claimed.generation == group_->generation(), "a zombie committed");
        return;
      }
      case 7:
        static_cast<void>(group_->leave(claim(client), at_));
        return;
      case 8:
        return end_a_write();
      default:
        return in_.one_in(5) ? restart() : pass_time();
    }
  }

  std::optional<InstanceId> draw_instance() {
    if (!in_.one_in(3)) return std::nullopt;
    return InstanceId(in_.PickValueInArray({"i", "j", ""}));
  }
  MemberId draw_member(const Client& client) {
    if (in_.one_in(6)) return MemberId(in_.text(8));
    if (in_.one_in(6) && !group_->members().empty()) return group_->members().begin()->first;
    return client.id;
  }
  MemberClaim claim(const Client& client) {
    auto generation = in_.one_in(6) ? GroupGeneration(in_.any<std::int32_t>()) : client.generation;
    return {.member = draw_member(client), .generation = generation, .instance = draw_instance()};
  }
  Duration draw_duration() {
    // What the coordinator lets through: 1 ms to a day for sessions, any 32 bits of milliseconds for rebalances.
    return std::chrono::milliseconds(in_.one_in(4) ? in_.between(0, INT32_MAX) : in_.between(1, 20'000));
  }

  void join(Client& client) {
    JoinEvent event;
    event.request = new_request(client);
    event.member = draw_member(client);
    event.fresh_member = MemberId("m" + std::to_string(last_request_));
    event.instance = draw_instance();
    event.session_timeout = draw_duration();
    event.rebalance_timeout = draw_duration();
    event.protocol_type = in_.one_in(10) ? in_.text(8) : "consumer";
    for (auto count = in_.between<int>(0, 3); count > 0; --count) {
      auto name = in_.PickValueInArray({"range", "sticky", ""});
      event.protocols.push_back({name, in_.one_in(3)
                                           ? in_.bytes(30)
                                           : Buffer::copy_of(std::string_view("\0\0\0\0\0\0\xff\xff\xff\xff", 10))});
    }
    event.member_id_required = in_.any<bool>() && !event.instance;
    event.skip_assignment_understood = in_.any<bool>();
    group_->join(std::move(event), at_);
  }

  void sync(Client& client) {
    SyncEvent event;
    event.request = new_request(client);
    event.claim = claim(client);
    if (in_.one_in(4)) event.protocol_type = in_.text(8);
    if (in_.one_in(4)) event.protocol = in_.text(8);
    int part = 0;
    for (const auto& [id, member] : group_->members()) {
      if (in_.one_in(8)) continue;
      auto text = std::to_string(event.claim.generation.value()) + ":" + std::to_string(last_request_) + ":" +
                  std::to_string(part++);
      event.assignments[id] = Buffer::take(std::move(text));
    }
    if (in_.one_in(8)) event.assignments[MemberId(in_.text(8))] = Buffer::copy_of("stray");
    group_->sync(std::move(event), at_);
  }

  RequestId new_request(Client& client) {
    RequestId request(++last_request_);
    waiting_[request] = &client;
    return request;
  }

  void pass_time() {
    auto by = std::chrono::milliseconds(in_.between(0, 10'000));
    at_.now += by;
    at_.wall += by;
    if (group_->next_timer() <= at_.now) group_->tick(at_);
  }

  void end_a_write() {
    if (writes_.empty()) return;
    auto [ticket, snapshot] = std::move(writes_.front());
    writes_.erase(writes_.begin());
    bool failed = in_.one_in(4);
    if (!failed) stored_ = std::move(snapshot);
    group_->persisted(ticket, failed ? MaybeError{ErrorCode::kNotCoordinator} : MaybeError{}, at_);
  }

  // The coordinator moves: all who wait are told, and another takes up what was stored.
  void restart() {
    group_->die(ErrorCode::kNotCoordinator);
    carry_out();
    CHECK(waiting_.empty(), "a dead group owes answers");
    writes_.clear();
    if (!stored_) {
      group_.emplace(GroupId("g"), settings_, at_);
      last_generation_ = GroupGeneration{0};
      return;
    }
    group_.emplace(GroupId("g"), settings_, *stored_, at_);
    auto taken_up = group_->snapshot();
    CHECK(taken_up.members.size() == stored_->members.size() && taken_up.generation == stored_->generation);
    last_generation_ = stored_->generation;
  }

  void carry_out() {
    for (auto& action : group_->take_actions()) {
      if (auto* join = std::get_if<AnswerJoin>(&action)) {
        auto& client = answered(join->request);
        const auto& reply = join->reply;
        if (reply.error == ErrorCode::kMemberIdRequired) client.id = reply.member;
        if (reply.error) continue;
        client.id = reply.member;
        client.generation = reply.generation;
        CHECK(reply.leader == reply.member || reply.members.empty() || reply.skip_assignment,
              "only the leader is told");
      }
      if (auto* sync = std::get_if<AnswerSync>(&action)) {
        answered(sync->request);
        if (!sync->reply.error && !sync->reply.assignment.empty()) check_assignment(sync->reply.assignment);
      }
      if (auto* write = std::get_if<Persist>(&action)) writes_.emplace_back(write->ticket, write->snapshot);
    }
  }

  void check_assignment(const Buffer& assignment) {
    CHECK(stored_.has_value(), "an assignment before anything was stored");
    bool is_stored = false;
    for (const auto& member : stored_->members) is_stored |= member.assignment == assignment;
    CHECK(is_stored, "an assignment that was not stored");
  }

  Client& answered(RequestId request) {
    auto node = waiting_.extract(request);
    CHECK(!node.empty(), "answered twice");
    return *node.mapped();
  }

  void check() {
    CHECK(group_->generation() >= last_generation_, "the generation fell");
    last_generation_ = group_->generation();
    const auto& members = group_->members();
    // While a rebalance waits for its members, those that will not come back still count, as in Kafka; static ones
    // stay.
    bool settled = group_->state() == GroupState::stable || group_->state() == GroupState::completing_rebalance;
    auto dynamic = std::ranges::count_if(members, [](const auto& m) { return !m.second.instance; });
    CHECK(!settled || stored_ || dynamic <= settings_.size_max, "more members than allowed");
    if (!members.empty()) CHECK(group_->leader() && members.contains(*group_->leader()), "no such leader");
    std::set<InstanceId> instances;
    for (const auto& [id, member] : members) {
      if (member.instance) CHECK(instances.insert(*member.instance).second, "one instance, two members");
      CHECK(!(group_->state() == GroupState::stable && member.awaiting_sync), "left waiting");
      if (group_->state() == GroupState::stable) CHECK(member.find(*group_->protocol()) != nullptr);
    }
  }

  // With everybody silent all that waits is answered, and the group runs empty. A static member that is away may have
  // half an hour of session left while the join phase is begun anew every second, so after a while the clock leaps.
  void settle() {
    for (int i = 0; i < 1000 && (group_->next_timer() != kForever || !writes_.empty()); ++i) {
      while (!writes_.empty()) end_a_write(), carry_out();
      if (group_->next_timer() == kForever) continue;
      at_.now = std::max(at_.now, group_->next_timer()) + (i < 500 ? 0h : 24h);
      group_->tick(at_);
      carry_out();
      check();
    }
    CHECK(waiting_.empty(), "a request was never answered");
    CHECK(group_->state() == GroupState::empty);
  }

  Decisions& in_;
  GroupSettings settings_;
  Moment at_{Instant(1s), from_ms(1'000'000)};
  std::optional<Group> group_;
  Client clients_[5];
  std::uint64_t last_request_ = 0;
  std::map<RequestId, Client*> waiting_;
  std::vector<std::pair<Ticket, GroupSnapshot>> writes_;
  std::optional<GroupSnapshot> stored_;
  GroupGeneration last_generation_{0};
};

}  // namespace
}  // namespace forelog::groups

FUZZ_TARGET(group) {
  Decisions in(input);
  forelog::groups::Session(in).run();
}
