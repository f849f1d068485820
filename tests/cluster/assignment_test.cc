#include "broker/cluster/assignment.h"

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

Replicas brokers(std::initializer_list<int> ids) {
  Replicas out;
  for (auto id : ids) out.emplace_back(id);
  return out;
}
std::set<BrokerId> live(std::initializer_list<int> ids) {
  std::set<BrokerId> out;
  for (auto id : ids) out.emplace(id);
  return out;
}
std::vector<Candidate> racks(std::initializer_list<std::pair<int, const char*>> list) {
  std::vector<Candidate> out;
  for (auto [id, rack] : list)
    out.push_back({BrokerId(id), rack == nullptr ? std::nullopt : std::optional<std::string>(rack)});
  return out;
}
std::vector<Candidate> three() { return racks({{1, nullptr}, {2, nullptr}, {3, nullptr}}); }

PartitionStateRecord state(int leader, int epoch, std::initializer_list<int> isr) {
  PartitionStateRecord out;
  out.leader = BrokerId(leader);
  out.leader_epoch = Epoch(epoch);
  out.isr = brokers(isr);
  return out;
}

TEST(Assignment, SpreadsLeadersAndFollowersEvenly) {
  auto plan = assign_replicas(three(), PartitionId(0), 6, 2, 0);
  ASSERT_TRUE(plan);
  std::map<BrokerId, int> leads, holds;
  for (const auto& [partition, replicas] : *plan) {
    ++leads[replicas[0]];
    ASSERT_EQ(replicas.size(), 2U);
    EXPECT_NE(replicas[0], replicas[1]);
    for (auto id : replicas) ++holds[id];
  }
  for (auto id : brokers({1, 2, 3})) {
    EXPECT_EQ(leads[id], 2);
    EXPECT_EQ(holds[id], 4);
  }
}

TEST(Assignment, PutsReplicasIntoAsManyRacksAsThereAre) {
  auto candidates = racks({{1, "a"}, {2, "a"}, {3, "b"}, {4, "b"}, {5, "c"}, {6, "c"}});
  std::map<BrokerId, std::string> rack_of;
  for (const auto& c : candidates) rack_of[c.id] = *c.rack;
  for (std::uint64_t start = 0; start < 6; ++start) {
    auto plan = assign_replicas(candidates, PartitionId(0), 12, 3, start);
    ASSERT_TRUE(plan);
    for (const auto& [partition, replicas] : *plan) {
      std::set<std::string> used;
      for (auto id : replicas) used.insert(rack_of[id]);
      EXPECT_EQ(used.size(), 3U) << partition.value();
    }
  }
}

TEST(Assignment, NewPartitionsContinueTheNumbering) {
  auto plan = assign_replicas(three(), PartitionId(4), 2, 3, 17);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->begin()->first, PartitionId(4));
  EXPECT_EQ(plan->size(), 2U);
  for (const auto& [partition, replicas] : *plan) EXPECT_EQ(std::set(replicas.begin(), replicas.end()).size(), 3U);
}

TEST(Assignment, RefusesMoreReplicasThanBrokers) {
  auto plan = assign_replicas(three(), PartitionId(0), 1, 4, 0);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kInvalidReplicationFactor);
  EXPECT_EQ(plan.error().context, "Replication factor: 4 larger than available brokers: 3.");
  EXPECT_FALSE(assign_replicas({}, PartitionId(0), 1, 1, 0));
  EXPECT_FALSE(assign_replicas(three(), PartitionId(0), 1, 0, 0));
}

TEST(Assignment, AGivenOneMustBeCompleteAndPossible) {
  auto known = live({1, 2});
  auto check = [&](std::map<PartitionId, Replicas> given) {
    return check_assignment(given, PartitionId(0), known).has_value();
  };
  EXPECT_TRUE(check({{PartitionId(0), brokers({1, 2})}, {PartitionId(1), brokers({2, 1})}}));
  EXPECT_FALSE(check({{PartitionId(1), brokers({1})}}));
  EXPECT_FALSE(check({{PartitionId(0), brokers({1})}, {PartitionId(2), brokers({1})}}));
  EXPECT_FALSE(check({{PartitionId(0), {}}}));
  EXPECT_FALSE(check({{PartitionId(0), brokers({1, 1})}}));
  EXPECT_FALSE(check({{PartitionId(0), brokers({3})}}));
  EXPECT_FALSE(check({{PartitionId(0), brokers({1, 2})}, {PartitionId(1), brokers({1})}}));
}

TEST(FirstState, TheFirstLiveReplicaLeads) {
  auto state = first_state(brokers({3, 1, 2}), live({1, 2}), 7);
  EXPECT_EQ(state.leader, BrokerId(1));
  EXPECT_EQ(state.isr, brokers({1, 2}));
  EXPECT_EQ(state.controller_epoch, 7);
  EXPECT_EQ(first_state(brokers({3}), live({1}), 7).leader, BrokerId(-1));
}

TEST(NextState, TheFirstReplicaInSyncTakesOverWithAHigherEpoch) {
  auto next = next_state(state(1, 4, {1, 2, 3}), brokers({1, 3, 2}), live({2, 3}), false, 9);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, BrokerId(3));
  EXPECT_EQ(next->leader_epoch, Epoch(5));
  EXPECT_EQ(next->isr, brokers({2, 3}));
  EXPECT_EQ(next->controller_epoch, 9);
}

TEST(NextState, NothingChangesWhileLeaderAndInSyncSetLive) {
  EXPECT_FALSE(next_state(state(1, 4, {1, 2}), brokers({1, 2, 3}), live({1, 2}), false, 9));
}

TEST(NextState, ADeadFollowerLeavesTheInSyncSet) {
  auto next = next_state(state(1, 4, {1, 2}), brokers({1, 2}), live({1}), false, 9);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, BrokerId(1));
  EXPECT_EQ(next->isr, brokers({1}));
}

TEST(NextState, TheLastInSyncIsKeptThoughDeadAndLeadsWhenBack) {
  auto dead = next_state(state(1, 4, {1}), brokers({1, 2}), live({2}), false, 9);
  ASSERT_TRUE(dead);
  EXPECT_EQ(dead->leader, BrokerId(-1));
  EXPECT_EQ(dead->isr, brokers({1}));
  EXPECT_FALSE(next_state(*dead, brokers({1, 2}), live({2}), false, 9));
  auto back = next_state(*dead, brokers({1, 2}), live({1, 2}), false, 9);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->leader, BrokerId(1));
  EXPECT_EQ(back->leader_epoch, Epoch(6));
}

TEST(NextState, AnUncleanElectionTakesWhoLives) {
  auto next = next_state(state(1, 4, {1}), brokers({1, 2}), live({2}), true, 9);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, BrokerId(2));
  EXPECT_EQ(next->isr, brokers({2}));
}

}  // namespace
}  // namespace forelog::cluster
