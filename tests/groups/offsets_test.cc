#include "tests/groups/coordinator_fixture.h"

namespace forelog::groups {
namespace {

std::int16_t code(ErrorCode error) { return wire_code_of(error); }

class OffsetsTest : public CoordinatorTest {
 protected:
  std::int16_t delete_offset(const std::string& topic, std::int32_t partition) {
    wire::OffsetDeleteRequest request;
    request.group_id = group_;
    request.topics.push_back({TopicName(topic), {{PartitionId(partition)}}});
    auto response = run(coordinator_->delete_offsets(std::move(request)));
    return response.error_code.ok() ? response.topics.at(0).partitions.at(0).error_code.code : response.error_code.code;
  }
  // Its client is told that it failed, and then the disk takes it after all.
  void commit_that_times_out(const std::string& topic, std::int32_t partition, std::int64_t offset) {
    log_.hold();
    auto waits = begin(coordinator_->commit(commit_request(topic, partition, offset), client_));
    world_.run_for(settings_.offsets_commit_timeout + 1s);
    ASSERT_TRUE(waits.arrived());
    EXPECT_FALSE(waits->topics[0].partitions[0].error_code.ok());
    log_.release();
    world_.run_for(50ms);
  }
};

TEST_F(OffsetsTest, NobodyKnowsAnOffsetUntilItsRecordIsDurable) {
  start();
  log_.hold();
  auto commits = begin(coordinator_->commit(commit_request("t", 0, 9), client_));
  world_.run_for(1s);
  EXPECT_FALSE(commits.arrived());
  EXPECT_EQ(committed("t", 0), -1);
  log_.release();
  world_.run_for(50ms);
  EXPECT_TRUE(commits.arrived());
  EXPECT_EQ(committed("t", 0), 9);
}

TEST_F(OffsetsTest, ACommitThatCannotBeWrittenFailsAndChangesNothing) {
  start();
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  log_.fail_with(ErrorCode::kStorageError);
  EXPECT_EQ(commit(commit_request("t", 0, 2)), code(ErrorCode::kNotCoordinator));
  for (auto too_large : {ErrorCode::kMessageTooLarge, ErrorCode::kRecordListTooLarge}) {
    log_.fail_with(too_large);
    EXPECT_EQ(commit(commit_request("t", 0, 2)), code(ErrorCode::kInvalidCommitOffsetSize));
  }
  log_.fail_with({});
  EXPECT_EQ(committed("t", 0), 1);
  log_.hold();
  auto waits = begin(coordinator_->commit(commit_request("t", 0, 3), client_));
  world_.run_for(settings_.offsets_commit_timeout + 1s);
  ASSERT_TRUE(waits.arrived());
  EXPECT_EQ(waits->topics[0].partitions[0].error_code.code, code(ErrorCode::kCoordinatorNotAvailable));
  EXPECT_EQ(committed("t", 0), 1);
}

TEST_F(OffsetsTest, ACommitThatTimedOutDoesNotOutliveWhatIsDeleted) {
  start();
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  commit_that_times_out("t", 1, 2);
  EXPECT_EQ(delete_offset("t", 1), 0);
  restart();
  EXPECT_EQ(committed("t", 1), -1);
  commit_that_times_out("t", 1, 3);
  EXPECT_EQ(run(coordinator_->remove(group_)).code, 0);
  restart();
  EXPECT_EQ(state(), "Dead");
}

TEST_F(OffsetsTest, AGroupThatHasOnlyACommitThatTimedOutIsDeletedLikeOthers) {
  start();
  commit_that_times_out("t", 1, 2);
  EXPECT_EQ(run(coordinator_->remove(group_)).code, 0);
  restart();
  EXPECT_EQ(state(), "Dead");
  commit_that_times_out("t", 1, 2);
  world_.run_for(settings_.offsets_retention_check_interval + 1s);
  EXPECT_EQ(state(), "Dead") << "it is not kept for ever either";
  restart();
  EXPECT_EQ(state(), "Dead");
}

TEST_F(OffsetsTest, OfTwoCommitsTheLaterOneHolds) {
  start();
  auto first = begin(coordinator_->commit(commit_request("t", 0, 1), client_));
  auto second = begin(coordinator_->commit(commit_request("t", 0, 2), client_));
  world_.run_for(50ms);
  ASSERT_TRUE(first.arrived() && second.arrived());
  auto now = committed("t", 0);
  restart();
  EXPECT_EQ(committed("t", 0), now);
}

TEST_F(OffsetsTest, MetadataThatIsTooLongIsRefusedByPartition) {
  start();
  auto request = commit_request("t", 0, 1, std::string(4097, 'x'));
  request.topics[0].partitions.push_back(request.topics[0].partitions[0]);
  request.topics[0].partitions[1].partition_index = PartitionId(1);
  request.topics[0].partitions[1].committed_metadata = std::string(4096, 'x');
  auto response = run(coordinator_->commit(request, client_));
  EXPECT_EQ(response.topics[0].partitions[0].error_code.code, code(ErrorCode::kOffsetMetadataTooLarge));
  EXPECT_EQ(response.topics[0].partitions[1].error_code.code, 0);
  EXPECT_EQ(fetch_all().topics.at(0).partitions.at(0).metadata, std::string(4096, 'x'));
}

TEST_F(OffsetsTest, OnlyMembersOfTheGenerationCommitInAGroupWithMembers) {
  start();
  auto member = lone_member();
  auto request = commit_request("t", 0, 1);
  EXPECT_EQ(commit(request), code(ErrorCode::kUnknownMemberId));
  request.member_id = member.member_id;
  request.generation_id_or_member_epoch = member.generation_id + 1;
  EXPECT_EQ(commit(request), code(ErrorCode::kIllegalGeneration));
  request.generation_id_or_member_epoch = member.generation_id;
  EXPECT_EQ(commit(request), 0);
  group_ = GroupId("never heard of");
  EXPECT_EQ(commit(commit_request("t", 0, 1)), 0);
  request.group_id = GroupId("never heard of either");
  EXPECT_EQ(commit(request), code(ErrorCode::kIllegalGeneration));
}

TEST_F(OffsetsTest, WhatWasNeverCommittedIsMinusOneWithoutAnError) {
  start();
  EXPECT_EQ(committed("t", 3), -1);
  EXPECT_TRUE(fetch_all().topics.empty());
}

TEST_F(OffsetsTest, OffsetsExpireLongAfterTheLastMemberAndTheGroupWithThem) {
  start();
  auto member = lone_member();
  auto request = commit_request("t", 0, 1);
  request.member_id = member.member_id;
  request.generation_id_or_member_epoch = member.generation_id;
  ASSERT_EQ(commit(request), 0);
  leave(member);
  world_.run_for(settings_.offsets_retention - 1h);
  EXPECT_EQ(committed("t", 0), 1);
  world_.run_for(1h + settings_.offsets_retention_check_interval);
  EXPECT_EQ(committed("t", 0), -1);
  EXPECT_EQ(state(), "Dead");
  restart();
  EXPECT_EQ(state(), "Dead");
}

TEST_F(OffsetsTest, OffsetsOfAConsumerWithoutAGroupExpireAfterTheirCommit) {
  start();
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  world_.run_for(settings_.offsets_retention / 2);
  ASSERT_EQ(commit(commit_request("t", 1, 1)), 0);
  world_.run_for(settings_.offsets_retention / 2 + settings_.offsets_retention_check_interval);
  EXPECT_EQ(committed("t", 0), -1);
  EXPECT_EQ(committed("t", 1), 1);
}

TEST_F(OffsetsTest, AnOffsetMayHaveARetentionOfItsOwn) {
  start();
  auto request = commit_request("t", 0, 1);
  request.retention_time_ms = to_ms(Duration(2h));
  ASSERT_EQ(commit(request), 0);
  restart();
  world_.run_for(1h);
  EXPECT_EQ(committed("t", 0), 1);
  world_.run_for(1h + settings_.offsets_retention_check_interval);
  EXPECT_EQ(committed("t", 0), -1);
}

TEST_F(OffsetsTest, OffsetsOfTopicsInUseAreNotDeleted) {
  start();
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  ASSERT_EQ(commit(commit_request("u", 0, 2)), 0);
  auto member = lone_member();
  EXPECT_EQ(delete_offset("t", 0), code(ErrorCode::kGroupSubscribedToTopic));
  EXPECT_EQ(delete_offset("u", 0), 0);
  EXPECT_EQ(committed("t", 0), 1);
  EXPECT_EQ(committed("u", 0), -1);
  leave(member);
  EXPECT_EQ(delete_offset("t", 0), 0);
  restart();
  EXPECT_EQ(committed("t", 0), -1);
  group_ = GroupId("unknown");
  EXPECT_EQ(delete_offset("t", 0), code(ErrorCode::kGroupIdNotFound));
}

TEST_F(OffsetsTest, ADeletedTopicTakesItsOffsetsWithIt) {
  start();
  ASSERT_EQ(commit(commit_request("t", 0, 1)), 0);
  ASSERT_EQ(commit(commit_request("u", 0, 2)), 0);
  run(coordinator_->forget_topic(TopicName("t")));
  restart();
  EXPECT_EQ(committed("t", 0), -1);
  EXPECT_EQ(committed("u", 0), 2);
}

// A topic made again under the name must not begin in the middle.
TEST_F(CoordinatorTest, AGoneTopicIsForgottenThoughTheDiskFailsAtFirst) {
  start();
  ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  log_.fail_with(ErrorCode::kIo);
  EXPECT_NE(commit(commit_request("t", 2, 43)), 0);
  auto forgotten = [](Coordinator& coordinator) -> Task<bool> {
    co_await coordinator.forget_topic(TopicName("t"));
    co_return true;
  };
  auto done = begin(forgotten(*coordinator_));
  world_.run_for(10s);
  EXPECT_FALSE(done.arrived());
  log_.fail_with(std::nullopt);
  world_.run_for(10s);
  EXPECT_TRUE(done.arrived());
  EXPECT_EQ(committed("t", 1), -1);
  restart();
  EXPECT_EQ(committed("t", 1), -1);
}

TEST_F(CoordinatorTest, WhatIsCommittedWhileAnOlderTopicIsForgottenStays) {
  start();
  ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  ASSERT_EQ(commit(commit_request("t", 2, 42)), 0);
  log_.fail_with(ErrorCode::kIo);
  auto forgotten = [](Coordinator& coordinator) -> Task<bool> {
    co_await coordinator.forget_topic(TopicName("t"));
    co_return true;
  };
  auto done = begin(forgotten(*coordinator_));
  world_.run_for(100ms);
  log_.fail_with(std::nullopt);
  ASSERT_EQ(commit(commit_request("t", 1, 7)), 0);
  world_.run_for(10s);
  EXPECT_TRUE(done.arrived());
  restart();
  EXPECT_EQ(committed("t", 1), 7);
  EXPECT_EQ(committed("t", 2), -1);
}

// However long it takes until the offsets of another group are forgotten.
TEST_F(CoordinatorTest, WhatAnotherGroupCommitsWhileAnOlderTopicIsForgottenStays) {
  start();
  for (const char* group : {"a", "b"}) {
    group_ = GroupId(group);
    ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  }
  log_.hold();
  auto forgotten = [](Coordinator& coordinator) -> Task<bool> {
    co_await coordinator.forget_topic(TopicName("t"));
    co_return true;
  };
  auto done = begin(forgotten(*coordinator_));
  world_.run_for(100ms);
  auto commits = begin(coordinator_->commit(commit_request("t", 1, 7), client_));
  world_.run_for(100ms);
  log_.release();
  world_.run_for(1s);
  EXPECT_TRUE(done.arrived() && commits.arrived());
  for (bool again : {false, true}) {
    if (again) restart();
    group_ = GroupId("a");
    EXPECT_EQ(committed("t", 1), -1);
    group_ = GroupId("b");
    EXPECT_EQ(committed("t", 1), 7) << "again=" << again;
  }
}

TEST_F(CoordinatorTest, OffsetsOfATopicThatWentWhileTheBrokerWasDownAreForgotten) {
  start();
  ASSERT_EQ(commit(commit_request("t", 1, 42)), 0);
  ASSERT_EQ(commit(commit_request("u", 1, 42)), 0);
  gone_ = TopicName("t");
  restart();
  world_.run_for(1s);
  EXPECT_EQ(committed("t", 1), -1);
  EXPECT_EQ(committed("u", 1), 42);
}

TEST(Offsets, ATombstoneSparesWhatIsCommittedAfterIt) {
  Offsets offsets;
  TopicPartition partition{TopicName("t"), PartitionId(0)};
  offsets.put(partition, {.offset = Offset(1)}, Offset(10));
  offsets.forget(partition, Offset(9));
  EXPECT_NE(offsets.find(partition), nullptr);
  offsets.put(partition, {.offset = Offset(0)}, Offset(8));
  EXPECT_EQ(offsets.find(partition)->offset, Offset(1));
  offsets.forget(partition, Offset(11));
  EXPECT_EQ(offsets.find(partition), nullptr);
}

TEST(Offsets, InAStableGroupOnlyTopicsThatNobodySubscribesToExpire) {
  GroupSettings settings;
  GroupSnapshot stored{.protocol_type = "consumer", .generation = GroupGeneration(1), .protocol = "range"};
  stored.members.push_back(
      {.id = MemberId("m"), .session_timeout = 10s, .subscription = Buffer::take(topics_of_a_consumer({"t"}))});
  Group group(GroupId("g"), settings, stored, Moment{});
  Offsets offsets;
  TopicPartition subscribed{TopicName("t"), PartitionId(0)};
  TopicPartition left{TopicName("u"), PartitionId(0)};
  TopicPartition in_flight{TopicName("u"), PartitionId(1)};
  for (const auto& partition : {subscribed, left, in_flight}) offsets.put(partition, {}, Offset(1));
  offsets.begin_commit(in_flight);
  EXPECT_EQ(offsets.expired(group, WallTime{} + 2h, 1h), std::vector{left});
  EXPECT_TRUE(offsets.expired(group, WallTime{} + 30min, 1h).empty());
  offsets.end_commit(in_flight);
  EXPECT_EQ(offsets.expired(group, WallTime{} + 2h, 1h), (std::vector{left, in_flight}));
}

}  // namespace
}  // namespace forelog::groups
