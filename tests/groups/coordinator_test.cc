#include "broker/groups/partition_of.h"
#include "tests/groups/coordinator_fixture.h"

namespace forelog::groups {
namespace {

std::int16_t code(ErrorCode error) { return wire_code_of(error); }

TEST_F(CoordinatorTest, MembersJoinAreAssignedAndBeat) {
  settings_.initial_rebalance_delay = 10ms;
  start();
  auto a = join("");
  auto b = join("");
  world_.run_for(50ms);
  ASSERT_TRUE(a.arrived() && b.arrived());
  const auto& leader = a->members.empty() ? *b : *a;
  const auto& follower = a->members.empty() ? *a : *b;
  ASSERT_EQ(leader.members.size(), 2U);
  EXPECT_EQ(leader.leader, leader.member_id);
  EXPECT_EQ(follower.leader, leader.member_id);
  EXPECT_EQ(leader.protocol_name, "range");

  auto waits = sync(follower);
  world_.run_for(1s);
  EXPECT_FALSE(waits.arrived());
  auto leads = sync(leader, {{leader.member_id, Buffer::copy_of("x")}, {follower.member_id, Buffer::copy_of("y")}});
  world_.run_for(50ms);
  EXPECT_EQ(leads->assignment.text(), "x");
  EXPECT_EQ(waits->assignment.text(), "y");
  EXPECT_EQ(heartbeat(leader), 0);

  auto described = run(coordinator_->describe(group_));
  EXPECT_EQ(described.group_state, "Stable");
  EXPECT_EQ(described.protocol_data, "range");
  ASSERT_EQ(described.members.size(), 2U);
  EXPECT_EQ(described.members[0].client_id, "app");
  EXPECT_EQ(described.members[0].client_host, "/10.0.0.1");
  EXPECT_TRUE(described.members[0].member_id.value().starts_with("app-"));
}

TEST_F(CoordinatorTest, NewMembersAreGivenAnIdToJoinWith) {
  start();
  auto first = join("", 4);
  world_.run_for(50ms);
  EXPECT_EQ(first->error_code.code, code(ErrorCode::kMemberIdRequired));
  auto second = join(first->member_id.value(), 4);
  world_.run_for(50ms);
  EXPECT_TRUE(second->error_code.ok());
  EXPECT_EQ(second->member_id, first->member_id);
}

TEST_F(CoordinatorTest, ASilentMemberIsGoneAfterItsSession) {
  start();
  auto member = lone_member();
  world_.run_for(9s);
  EXPECT_EQ(heartbeat(member), 0);
  world_.run_for(9s);
  EXPECT_EQ(state(), "Stable");
  world_.run_for(2s);
  EXPECT_EQ(state(), "Empty");
  EXPECT_EQ(heartbeat(member), code(ErrorCode::kUnknownMemberId));
}

TEST_F(CoordinatorTest, AnAssignmentIsGivenOnlyWhenItIsDurable) {
  start();
  auto joined = join("");
  world_.run_for(50ms);
  log_.hold();
  auto synced = sync(*joined, {{joined->member_id, Buffer::copy_of("x")}});
  world_.run_for(1s);
  EXPECT_FALSE(synced.arrived());
  log_.release();
  world_.run_for(50ms);
  EXPECT_EQ(synced->assignment.text(), "x");
}

TEST_F(CoordinatorTest, AWriteThatFailsIsAnsweredSoThatTheClientTriesAgain) {
  start();
  auto joined = join("");
  world_.run_for(50ms);
  log_.fail_with(ErrorCode::kNotLeader);
  auto synced = sync(*joined, {{joined->member_id, Buffer::copy_of("x")}});
  world_.run_for(50ms);
  EXPECT_EQ(synced->error_code.code, code(ErrorCode::kNotCoordinator));
  log_.fail_with({});
  EXPECT_EQ(state(), "PreparingRebalance");
}

TEST_F(CoordinatorTest, ARestartedBrokerGoesOnWithItsGroups) {
  start();
  auto member = lone_member();
  auto request = commit_request("t", 1, 42, "where I was");
  request.member_id = member.member_id;
  request.generation_id_or_member_epoch = member.generation_id;
  ASSERT_EQ(commit(request), 0);

  restart();
  EXPECT_EQ(state(), "Stable");
  EXPECT_EQ(heartbeat(member), 0);
  auto fetched = fetch_all();
  ASSERT_EQ(fetched.topics.size(), 1U);
  const auto& partition = fetched.topics[0].partitions.at(0);
  EXPECT_EQ(partition.partition_index, PartitionId(1));
  EXPECT_EQ(partition.committed_offset, Offset(42));
  EXPECT_EQ(partition.committed_leader_epoch, Epoch(5));
  EXPECT_EQ(partition.metadata, "where I was");
  auto again = sync(member);
  world_.run_for(50ms);
  EXPECT_EQ(again->assignment, assignment_of("t", {0, 1}));
}

TEST_F(CoordinatorTest, WhileAGroupLoadsItsClientsAreAskedToWait) {
  start();
  auto member = lone_member();
  stop();
  log_.read_takes(5s);
  start(false);
  lead();
  EXPECT_EQ(commit(commit_request("t", 0, 1)), code(ErrorCode::kCoordinatorLoadInProgress));
  EXPECT_EQ(fetch_all().error_code.code, code(ErrorCode::kCoordinatorLoadInProgress));
  EXPECT_EQ(run(coordinator_->list({})).error_code.code, code(ErrorCode::kCoordinatorLoadInProgress));
  EXPECT_EQ(heartbeat(member), 0);
  auto synced = sync(member);
  world_.run_for(6s);
  EXPECT_EQ(synced->error_code.code, code(ErrorCode::kRebalanceInProgress));
  EXPECT_EQ(state(), "Stable");
}

TEST_F(CoordinatorTest, ALoadThatFailsIsTriedAgain) {
  start();
  lone_member();
  stop();
  log_.fail_with(ErrorCode::kStorageError);
  start();
  EXPECT_EQ(fetch_all().error_code.code, code(ErrorCode::kCoordinatorLoadInProgress));
  log_.fail_with({});
  world_.run_for(1s);
  EXPECT_EQ(state(), "Stable");
}

TEST_F(CoordinatorTest, WhoWaitsIsSentElsewhereWhenThePartitionGoes) {
  settings_.initial_rebalance_delay = 3s;
  start();
  auto waits = join("");
  world_.run_for(1s);
  EXPECT_FALSE(waits.arrived());
  resign();
  world_.run_for(1ms);
  EXPECT_EQ(waits->error_code.code, code(ErrorCode::kNotCoordinator));
  EXPECT_EQ(fetch_all().error_code.code, code(ErrorCode::kNotCoordinator));
  lead();
  world_.run_for(50ms);
  EXPECT_EQ(state(), "Dead");
}

TEST_F(CoordinatorTest, StoppingWakesWhoWaits) {
  settings_.initial_rebalance_delay = 3s;
  start();
  auto waits = join("");
  world_.run_for(1s);
  stop();
  EXPECT_EQ(waits->error_code.code, code(ErrorCode::kCoordinatorNotAvailable));
}

// It would wait for minutes, and hold what its connection held.
TEST_F(CoordinatorTest, NobodyWaitsForAConnectionThatIsGone) {
  start();
  auto joined = lone_member();
  auto former = client_;
  auto other = std::make_shared<prefetch::ClientInfo>(*client_);
  other->connection = prefetch::ConnectionId(former->connection.value() + 1);
  client_ = other;
  auto second = join("");
  world_.run_for(1s);
  ASSERT_FALSE(second.arrived());
  auto gone = [](Coordinator& coordinator, prefetch::ConnectionId connection) -> Task<void> {
    coordinator.client_gone(connection);
    co_return;
  };
  run(gone(*coordinator_, former->connection));
  world_.run_for(100ms);
  EXPECT_FALSE(second.arrived()) << "another connection";
  run(gone(*coordinator_, other->connection));
  world_.run_for(100ms);
  EXPECT_TRUE(second.arrived());
  EXPECT_EQ(run(coordinator_->describe(group_)).members.size(), 2U) << "it may come back";

  client_ = former;
  auto again = join(joined.member_id.value());
  world_.run_for(100ms);
  ASSERT_TRUE(again.arrived());
  auto waits = sync(*again);  // not for long if it leads
  run(gone(*coordinator_, former->connection));
  world_.run_for(100ms);
  EXPECT_TRUE(waits.arrived());
  stop();
}

TEST_F(CoordinatorTest, WithoutTheTopicThereIsNoCoordinator) {
  log_.set_partitions(0);
  start();
  auto joined = join("");
  world_.run_for(1ms);
  EXPECT_EQ(joined->error_code.code, code(ErrorCode::kCoordinatorNotAvailable));
  group_ = GroupId("");
  auto nameless = join("");
  world_.run_for(1ms);
  EXPECT_EQ(nameless->error_code.code, code(ErrorCode::kInvalidGroupId));
  log_.set_partitions(3);
}

TEST_F(CoordinatorTest, LeavingTellsOfOneMemberOrOfEach) {
  start();
  auto member = lone_member();
  wire::LeaveGroupRequest old_form;
  old_form.group_id = group_;
  old_form.member_id = MemberId("nobody");
  auto old_answer = run(coordinator_->leave(old_form, 2, client_));
  EXPECT_EQ(old_answer.error_code.code, code(ErrorCode::kUnknownMemberId));

  wire::LeaveGroupRequest request;
  request.group_id = group_;
  request.members.push_back({member.member_id, {}, {}});
  request.members.push_back({MemberId("nobody"), {}, {}});
  auto answer = run(coordinator_->leave(request, 5, client_));
  EXPECT_TRUE(answer.error_code.ok());
  ASSERT_EQ(answer.members.size(), 2U);
  EXPECT_TRUE(answer.members[0].error_code.ok());
  EXPECT_EQ(answer.members[1].error_code.code, code(ErrorCode::kUnknownMemberId));
  EXPECT_EQ(state(), "Empty");
}

TEST_F(CoordinatorTest, GroupsAreListedByStateAndType) {
  start();
  lone_member();
  group_ = GroupId("empty");
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  EXPECT_EQ(run(coordinator_->list({})).groups.size(), 2U);
  wire::ListGroupsRequest stable;
  stable.states_filter = {"stable"};
  auto listed = run(coordinator_->list(stable));
  ASSERT_EQ(listed.groups.size(), 1U);
  EXPECT_EQ(listed.groups[0].group_id, GroupId("g"));
  EXPECT_EQ(listed.groups[0].group_type, "classic");
  EXPECT_EQ(listed.groups[0].protocol_type, "consumer");
  wire::ListGroupsRequest modern;
  modern.types_filter = {"consumer"};
  EXPECT_TRUE(run(coordinator_->list(modern)).groups.empty());
}

TEST_F(CoordinatorTest, OnlyAnEmptyGroupIsDeletedAndForGood) {
  start();
  auto member = lone_member();
  EXPECT_EQ(run(coordinator_->remove(group_)).code, code(ErrorCode::kNonEmptyGroup));
  EXPECT_EQ(run(coordinator_->remove(GroupId("other"))).code, code(ErrorCode::kGroupIdNotFound));
  leave(member);
  ASSERT_EQ(commit(commit_request("t", 0, 7)), 0);
  EXPECT_EQ(run(coordinator_->remove(group_)).code, 0);
  EXPECT_EQ(state(), "Dead");
  restart();
  EXPECT_EQ(state(), "Dead");
  EXPECT_TRUE(fetch_all().topics.empty());
}

TEST_F(CoordinatorTest, AGroupDeletedWhileItsFirstRecordIsWrittenDoesNotComeBack) {
  start();
  auto joined = join("");
  world_.run_for(50ms);
  log_.hold();
  auto synced = sync(*joined, {{joined->member_id, assignment_of("t", {0})}});
  world_.run_for(50ms);
  leave(*joined);
  auto removed = begin(coordinator_->remove(group_));
  world_.run_for(50ms);
  log_.release();
  world_.run_for(50ms);
  ASSERT_TRUE(removed.arrived());
  EXPECT_EQ(removed->code, 0);
  restart();
  EXPECT_EQ(state(), "Dead");
}

// The topic has got more partitions, so that the group is looked for, and begins anew, in another one; later a broker
// with fewer cores has both on the same one.
TEST_F(CoordinatorTest, AGroupThatStandsInTwoPartitionsIsTheOneThatIsLookedFor) {
  group_ = GroupId("g");
  log_.set_partitions(2);
  start();
  lone_member();
  stop();
  log_.set_partitions(4);
  const PartitionId before(1), now(3);
  auto lead_in_turn = [this](std::vector<PartitionId> partitions) {
    for (auto partition : partitions) {
      run(lead_one(*this, partition));
      world_.run_for(100ms);
    }
  };
  start(false);
  lead_in_turn({now});
  auto member = lone_member();
  for (const auto& order : {std::vector{now, before}, std::vector{before, now}}) {
    stop();
    start(false);
    lead_in_turn(order);
    EXPECT_EQ(heartbeat(member), 0);
    EXPECT_EQ(run(coordinator_->list({})).groups.size(), 1u);
  }
  world_.run_for(15s);
  EXPECT_EQ(state(), "Empty") << "who is silent for longer than its session is gone";
}

TEST_F(CoordinatorTest, AGroupThatOnlyRefusedSomebodyIsNotKept) {
  start();
  wire::JoinGroupRequest request;
  request.group_id = GroupId("probe");
  request.session_timeout_ms = 1;
  request.protocol_type = "consumer";
  request.protocols.push_back({"range", {}});
  auto answer = run(coordinator_->join(request, 9, client_));
  EXPECT_EQ(answer.error_code.code, code(ErrorCode::kInvalidSessionTimeout));
  EXPECT_TRUE(run(coordinator_->list({})).groups.empty());
}

TEST_F(CoordinatorTest, AJoinIsToldWhenItComesNotWhenItIsAnswered) {
  settings_.initial_rebalance_delay = 3s;
  start();
  ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  auto joined = join("");
  world_.run_for(1s);
  EXPECT_FALSE(joined.arrived());
  ASSERT_EQ(sink_.events.size(), 2U);
  EXPECT_EQ(sink_.events[1].kind, prefetch::GroupEventKind::join);
  ASSERT_EQ(sink_.events[1].offsets.size(), 1U);
  EXPECT_EQ(sink_.events[1].offsets[0].offset, Offset(42));
  world_.run_for(5s);
  EXPECT_TRUE(joined.arrived());
}

TEST_F(CoordinatorTest, EventsTellWhatIsAboutToBeRead) {
  start();
  ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  auto member = lone_member();
  leave(member);
  using prefetch::GroupEventKind;
  ASSERT_EQ(sink_.events.size(), 4U);
  EXPECT_EQ(sink_.events[0].kind, GroupEventKind::commit);
  const auto& joined = sink_.events[1];
  EXPECT_EQ(joined.kind, GroupEventKind::join);
  ASSERT_EQ(joined.offsets.size(), 1U);
  EXPECT_EQ(joined.offsets[0].offset, Offset(42));
  const auto& synced = sink_.events[2];
  EXPECT_EQ(synced.kind, GroupEventKind::sync);
  EXPECT_EQ(synced.client->client_id, "app");
  EXPECT_EQ(synced.generation, Generation(1));
  ASSERT_EQ(synced.offsets.size(), 2U);
  EXPECT_EQ(synced.offsets[0].offset, kNoOffset);
  EXPECT_EQ(synced.offsets[1].partition.partition, PartitionId(1));
  EXPECT_EQ(synced.offsets[1].offset, Offset(42));
  EXPECT_EQ(sink_.events[3].kind, GroupEventKind::leave);
  // In a group that has had members, a commit of nobody resets it.
  ASSERT_EQ(commit(commit_request("t", 1, 0)), 0);
  EXPECT_EQ(sink_.events[4].kind, GroupEventKind::reset);
}

}  // namespace
}  // namespace forelog::groups
