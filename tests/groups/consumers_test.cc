// Whole consumers, as clients are, against a coordinator that restarts, loses its partition and fails to write: a
// partition has one reader in a generation, and no acknowledged commit is ever lost.
#include "broker/groups/subscription.h"
#include "tests/groups/coordinator_fixture.h"

namespace forelog::groups {
namespace {

constexpr std::int32_t kPartitions = 4;

class ConsumersTest : public CoordinatorTest, public testing::WithParamInterface<std::uint64_t> {
 protected:
  ConsumersTest() : CoordinatorTest(GetParam()) {}

  struct Consumer {
    MemberId id;
    std::int32_t generation = -1;
    std::map<std::int32_t, std::int64_t> positions{};  // of the partitions assigned
    int rounds = 0;                                    // generations that it has read in
  };

  Task<void> pause() {
    auto until = machine_.env().clock.now() + std::chrono::milliseconds(50 + world_.random().below(400));
    co_await sleep_until(machine_.env().clock, until);
  }

  // Joins, and as leader deals the partitions out in turn.
  Task<bool> rejoin(Consumer& self) {
    wire::JoinGroupRequest request;
    request.group_id = group_;
    request.member_id = self.id;
    request.session_timeout_ms = 6'000;
    request.rebalance_timeout_ms = 3'000;
    request.protocol_type = "consumer";
    request.protocols.push_back({"range", Buffer::take(topics_of_a_consumer({"t"}))});
    auto joined = co_await coordinator_->join(std::move(request), 9, client_);
    if (joined.error_code.code == wire_code_of(ErrorCode::kUnknownMemberId)) self.id = {};
    if (joined.error_code.code == wire_code_of(ErrorCode::kMemberIdRequired)) self.id = joined.member_id;
    if (!joined.error_code.ok()) co_return false;
    self.id = joined.member_id;
    self.generation = joined.generation_id;

    wire::SyncGroupRequest sync_request;
    sync_request.group_id = group_;
    sync_request.member_id = self.id;
    sync_request.generation_id = self.generation;
    for (std::size_t i = 0; i < joined.members.size(); ++i) {
      std::vector<std::int32_t> share;
      for (auto p = static_cast<std::int32_t>(i); p < kPartitions;
           p += static_cast<std::int32_t>(joined.members.size())) {
        share.push_back(p);
      }
      sync_request.assignments.push_back({joined.members[i].member_id, assignment_of("t", share)});
    }
    if (!coordinator_) co_return false;
    auto synced = co_await coordinator_->sync(std::move(sync_request), client_);
    if (!synced.error_code.ok()) co_return false;

    self.positions.clear();
    auto assigned = partitions_of_assignment(synced.assignment);
    for (const auto& partition : *assigned) self.positions[partition.partition.value()] = -1;
    for (const auto& [partition, position] : self.positions) {
      auto [at, is_new] = readers_.try_emplace({self.generation, partition}, self.id);
      EXPECT_EQ(at->second, self.id) << "two readers of one partition in generation " << self.generation;
    }
    co_return true;
  }

  // Reads on from what was committed, and commits; false when it has to join again.
  Task<bool> read_on(Consumer& self) {
    for (auto& [partition, position] : self.positions) {
      if (!coordinator_) co_return true;
      if (position < 0) {
        wire::OffsetFetchRequest::Group request;
        request.group_id = group_;
        request.topics.emplace().push_back({TopicName("t"), {PartitionId(partition)}});
        auto acknowledged = acknowledged_.contains(partition) ? acknowledged_.at(partition) : -1;
        auto fetched = co_await coordinator_->fetch(std::move(request), client_);
        if (!fetched.error_code.ok()) co_return true;
        auto committed = fetched.topics.at(0).partitions.at(0).committed_offset.value();
        EXPECT_GE(committed, acknowledged) << "an acknowledged commit of partition " << partition << " is lost";
        position = std::max<std::int64_t>(committed, 0);
        continue;
      }
      auto next = position + 1;
      auto request = commit_request("t", partition, next);
      request.member_id = self.id;
      request.generation_id_or_member_epoch = self.generation;
      auto response = co_await coordinator_->commit(std::move(request), client_);
      auto error = response.topics.at(0).partitions.at(0).error_code;
      if (error.ok()) {
        position = next;
        acknowledged_[partition] = std::max(acknowledged_[partition], next);
        ++commits_;
      } else if (error.code != wire_code_of(ErrorCode::kCoordinatorNotAvailable) &&
                 error.code != wire_code_of(ErrorCode::kNotCoordinator) &&
                 error.code != wire_code_of(ErrorCode::kCoordinatorLoadInProgress)) {
        co_return false;
      }
    }
    if (!coordinator_) co_return true;
    wire::HeartbeatRequest beat;
    beat.group_id = group_;
    beat.member_id = self.id;
    beat.generation_id = self.generation;
    auto answer = co_await coordinator_->heartbeat(std::move(beat));
    if (answer.error_code.code == wire_code_of(ErrorCode::kUnknownMemberId)) self.id = {};
    co_return answer.error_code.ok() || answer.error_code.code == wire_code_of(ErrorCode::kNotCoordinator) ||
        answer.error_code.code == wire_code_of(ErrorCode::kCoordinatorNotAvailable);
  }

  static Task<void> consume(ConsumersTest& test) {
    ++test.running_;
    Consumer self{};
    bool in_group = false;
    while (!test.done_) {
      co_await test.pause();
      if (!test.coordinator_) continue;
      if (in_group) {
        in_group = co_await test.read_on(self);
      } else {
        in_group = co_await test.rejoin(self);
      }
      // Now and then one hangs for longer than its session, and comes back as a zombie.
      if (!test.calm_ && test.world_.random().below(200) == 0) {
        co_await sleep_until(test.machine_.env().clock, test.machine_.env().clock.now() + 8s);
      }
    }
    --test.running_;
  }

  void disturb() {
    switch (world_.random().below(4)) {
      case 0:
        restart();
        break;
      case 1:
        resign();
        world_.run_for(300ms);
        lead();
        break;
      case 2:
        log_.fail_with(ErrorCode::kNotEnoughReplicas);
        world_.run_for(500ms);
        log_.fail_with({});
        break;
      default:
        log_.hold();
        world_.run_for(1s);
        log_.release();
        break;
    }
  }

  bool calm_ = false;
  bool done_ = false;
  int running_ = 0;
  int commits_ = 0;
  std::map<std::pair<std::int32_t, std::int32_t>, MemberId> readers_;
  std::map<std::int32_t, std::int64_t> acknowledged_;
};

TEST_P(ConsumersTest, LoseNoCommitAndSharePartitionsWhateverHappensToTheCoordinator) {
  settings_.initial_rebalance_delay = 200ms;
  start();
  for (int i = 0; i < 5; ++i) machine_.cores().spawn(CoreId{0}, consume(*this));
  for (int i = 0; i < 40; ++i) {
    world_.run_for(std::chrono::milliseconds(500 + world_.random().below(5000)));
    disturb();
  }
  calm_ = true;
  world_.run_for(30s);
  EXPECT_EQ(state(), "Stable");
  EXPECT_GT(commits_, 500);
  for (const auto& [partition, offset] : acknowledged_) EXPECT_GE(committed("t", partition), offset);
  done_ = true;
  world_.run_for(2min);
  EXPECT_EQ(running_, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ConsumersTest, testing::Range<std::uint64_t>(1, 7));

}  // namespace
}  // namespace forelog::groups
