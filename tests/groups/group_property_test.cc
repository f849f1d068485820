// Random events against the pure group, with the rules that nothing may break.
#include "broker/env/simulated/seeded_random.h"
#include "broker/groups/group.h"
#include "tests/groups/story.h"

#include <set>

#include <gtest/gtest.h>

namespace forelog::groups {
namespace {

// Clients that do anything at any time: lose answers, restart, claim old generations, never come back.
class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : random_(seed) {
    settings_.initial_rebalance_delay = std::chrono::milliseconds(100 * random_.below(3));
    settings_.size_max = static_cast<std::int32_t>(2 + random_.below(5));
    group_.emplace(GroupId("g"), settings_, at_);
  }

  void step() {
    auto& client = clients_[random_.below(clients_.size())];
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2:
        join(client);
        break;
      case 3:
      case 4:
      case 5:
        sync(client);
        break;
      case 6:
        group_->heartbeat(claim(client), at_);
        break;
      case 7:
        check_commit(client);
        break;
      case 8:
        if (random_.chance(0.3)) group_->leave(claim(client), at_);
        break;
      case 9:
        if (random_.chance(0.3)) client.id = {};
        break;
      case 10:
        end_a_write();
        break;
      default:
        pass_time();
        break;
    }
    carry_out();
    check();
  }

  // With everybody silent, all that waits is answered and the group runs empty.
  void settle() {
    for (int i = 0; i < 1000 && (group_->next_timer() != kForever || !writes_.empty()); ++i) {
      while (!writes_.empty()) end_a_write();
      carry_out();
      if (group_->next_timer() == kForever) continue;
      at_.now = std::max(at_.now, group_->next_timer());
      group_->tick(at_);
      carry_out();
      check();
    }
    EXPECT_TRUE(waiting_.empty()) << "a request was never answered";
    EXPECT_EQ(group_->state(), GroupState::empty);
  }

 private:
  struct Client {
    std::string name;
    MemberId id{};
    GroupGeneration generation = kNoGeneration;
    std::optional<InstanceId> instance{};
    std::vector<MemberId> led{};  // members to assign to, when it leads
  };

  MemberClaim claim(const Client& client) {
    auto generation = random_.chance(0.1) ? client.generation - 1 : client.generation;
    return {.member = client.id, .generation = generation, .instance = client.instance};
  }

  void join(Client& client) {
    auto request = RequestId(++last_request_);
    JoinEvent event{.request = request,
                    .member = client.id,
                    .fresh_member = MemberId(client.name + std::to_string(last_request_)),
                    .instance = client.instance,
                    .session_timeout = 6s,
                    .rebalance_timeout = std::chrono::seconds(random_.below(20)),
                    .protocol_type = "consumer",
                    .member_id_required = random_.chance(0.5) && !client.instance,
                    .skip_assignment_understood = random_.chance(0.5)};
    auto topic = random_.chance(0.1) ? "u" : "t";
    event.protocols.push_back({"range", Buffer::take(topics_of_a_consumer({topic}))});
    if (random_.chance(0.5)) event.protocols.push_back({"sticky", Buffer::take(topics_of_a_consumer({topic}))});
    waiting_[request] = &client;
    group_->join(std::move(event), at_);
  }

  void sync(Client& client) {
    auto request = RequestId(++last_request_);
    SyncEvent event{.request = request, .claim = claim(client)};
    // Partition i goes to the i-th member, in this generation.
    int partition = 0;
    for (const auto& member : client.led) {
      auto text = std::to_string(client.generation.value()) + ":" + std::to_string(partition++);
      event.assignments[member] = Buffer::take(std::move(text));
    }
    waiting_[request] = &client;
    group_->sync(std::move(event), at_);
  }

  void check_commit(Client& client) {
    auto claimed = claim(client);
    if (group_->check_commit(claimed, at_)) return;
    bool nobody = claimed.generation < GroupGeneration{0};
    if (nobody) {
      EXPECT_EQ(group_->state(), GroupState::empty);
    } else {
      EXPECT_EQ(claimed.generation, group_->generation()) << "a zombie committed";
      EXPECT_TRUE(group_->members().contains(claimed.member));
    }
  }

  void pass_time() {
    at_.now += std::chrono::milliseconds(random_.below(3000));
    if (group_->next_timer() <= at_.now) group_->tick(at_);
  }

  void end_a_write() {
    if (writes_.empty()) return;
    auto ticket = writes_.front();
    writes_.erase(writes_.begin());
    group_->persisted(ticket, random_.chance(0.2) ? MaybeError{ErrorCode::kNotCoordinator} : MaybeError{}, at_);
  }

  void carry_out() {
    for (auto& action : group_->take_actions()) {
      if (auto* join = std::get_if<AnswerJoin>(&action)) joined(answered(join->request), join->reply);
      if (auto* sync = std::get_if<AnswerSync>(&action)) synced(answered(sync->request), sync->reply);
      if (auto* write = std::get_if<Persist>(&action)) writes_.push_back(write->ticket);
    }
  }

  Client& answered(RequestId request) {
    auto node = waiting_.extract(request);
    EXPECT_FALSE(node.empty()) << "answered twice";
    return *node.mapped();
  }

  void joined(Client& client, const JoinReply& reply) {
    if (reply.error == ErrorCode::kMemberIdRequired) client.id = reply.member;
    if (reply.error) return;
    client.id = reply.member;
    client.generation = reply.generation;
    client.led.clear();
    if (reply.skip_assignment) return;
    for (const auto& member : reply.members) client.led.push_back(member.member);
  }

  // Of one generation, each assignment is one member's, and never changes.
  void synced(Client& client, const SyncReply& reply) {
    if (reply.error || reply.assignment.empty()) return;
    auto assignment = std::string(reply.assignment.text());
    EXPECT_TRUE(assignment.starts_with(std::to_string(group_->generation().value()) + ":")) << "of another generation";
    auto owner = client.instance ? client.instance->value() : client.id.value();
    auto [at, is_new] = owners_.try_emplace(assignment, owner);
    if (!client.instance) EXPECT_EQ(at->second, owner) << "two consumers have one partition";
  }

  void check() {
    EXPECT_GE(group_->generation(), last_generation_);
    last_generation_ = group_->generation();
    const auto& members = group_->members();
    if (!members.empty()) ASSERT_TRUE(group_->leader() && members.contains(*group_->leader())) << "no such leader";
    EXPECT_EQ(members.empty() && group_->state() != GroupState::preparing_rebalance,
              group_->state() == GroupState::empty);
    std::set<InstanceId> instances;
    for (const auto& [id, member] : members) {
      if (member.instance) EXPECT_TRUE(instances.insert(*member.instance).second) << "one instance, two members";
      EXPECT_FALSE(group_->state() == GroupState::stable && member.awaiting_sync) << "left waiting";
    }
    if (group_->state() == GroupState::stable || group_->state() == GroupState::completing_rebalance) {
      for (const auto& [id, member] : members) EXPECT_NE(member.find(*group_->protocol()), nullptr);
    }
  }

  env::SeededRandom random_;
  GroupSettings settings_;
  Moment at_{};
  std::optional<Group> group_;
  std::vector<Client> clients_{{.name = "a"},
                               {.name = "b"},
                               {.name = "c"},
                               {.name = "s", .instance = InstanceId("i")},
                               {.name = "r", .instance = InstanceId("i")},
                               {.name = "q", .instance = InstanceId("j")}};
  std::uint64_t last_request_ = 0;
  std::map<RequestId, Client*> waiting_;
  std::vector<Ticket> writes_;
  GroupGeneration last_generation_{0};
  std::map<std::string, std::string> owners_;
};

TEST(GroupProperties, HoldWhateverClientsDo) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    Chaos chaos(seed);
    for (int i = 0; i < 500 && !testing::Test::HasFailure(); ++i) chaos.step();
    chaos.settle();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace forelog::groups
