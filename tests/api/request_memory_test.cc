// Memory that all requests and answers of a core share: who gets how much, who waits, who has to give it back.
#include "broker/api/request_memory.h"

#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::api {
namespace {

class Holder final : public MemoryHolder {
 public:
  Duration overdue(MemoryUse use, Instant) const override {
    if (told > 0) return Duration::zero();
    return use == MemoryUse::request ? request : answer;
  }
  void give_up() override {
    ++told;
    memory.release();
  }
  Duration request{}, answer{};
  env::Reservation memory;
  int told = 0;
};

class RequestMemoryTest : public testing::Test {
 protected:
  RequestMemoryTest() : world(11), machine(world.machine()) {}
  ~RequestMemoryTest() override {
    if (memory) test::run(world, machine, memory->stop());
  }

  void bound(Bytes requests, Bytes answers) {
    memory.emplace(machine.cores(), RequestMemory::Limits{requests, answers}, registry);
  }
  env::Reservation answer(Bytes least, Bytes wanted, Duration patience = 1s) {
    auto room = test::run(world, machine, memory->for_answer(least, wanted, world.now() + patience));
    return room ? *std::move(room) : env::Reservation{};
  }
  // What `for_request` yields, once it does.
  struct Wait {
    std::optional<Result<env::Reservation>> room;
  };
  static Task<void> keep(RequestMemory& memory, Bytes size, Wait& into) {
    auto room = co_await memory.for_request(size);
    into.room.emplace(std::move(room));
  }
  void wait_for_request(Bytes size, Wait& into) { machine.cores().spawn(CoreId(0), keep(*memory, size, into)); }

  env::SimulatedWorld world;
  env::SimulatedMachine& machine;
  MetricsRegistry registry;
  std::optional<RequestMemory> memory;
};

TEST_F(RequestMemoryTest, SmallRequestsDoNotWaitForLargeOnes) {
  bound(8_MiB, -1);
  auto large = memory->try_request(3_MiB);
  ASSERT_TRUE(large);
  EXPECT_FALSE(memory->try_request(3_MiB));
  auto usual = memory->try_request(1_MiB);
  ASSERT_TRUE(usual) << "nor do those of the usual size";
  auto more = memory->try_request(2_MiB);
  ASSERT_TRUE(more);
  EXPECT_FALSE(memory->try_request(2_MiB));
  auto rest = memory->try_request(1_MiB);
  std::vector<env::Reservation> small;
  for (int i = 0; i < 16; ++i) {
    auto room = memory->try_request(RequestMemory::kSmall);
    ASSERT_TRUE(room) << i;
    small.push_back(*std::move(room));
  }
  EXPECT_FALSE(memory->try_request(1)) << "an eighth is theirs, not more";
  EXPECT_EQ(memory->request_bytes(), 8_MiB);
}

TEST_F(RequestMemoryTest, ARequestLargerThanAllThereIsPassesAlone) {
  bound(1_MiB, -1);
  auto huge = memory->try_request(100_MiB);
  ASSERT_TRUE(huge);
  EXPECT_FALSE(memory->try_request(3_MiB));
  huge->release();
  EXPECT_TRUE(memory->try_request(3_MiB));
}

TEST_F(RequestMemoryTest, NegativeMeansNoBound) {
  bound(-1, -1);
  std::vector<env::Reservation> all;
  for (int i = 0; i < 1000; ++i) {
    auto room = memory->try_request(100_MiB);
    ASSERT_TRUE(room);
    all.push_back(*std::move(room));
    all.push_back(answer(0, 50_MiB));
    ASSERT_EQ(all.back().bytes(), 50_MiB);
  }
}

TEST_F(RequestMemoryTest, AnswersGetLessWhileMuchIsOutAndTheLastRoomIsForSmallOnes) {
  bound(-1, 64_MiB);
  std::vector<env::Reservation> out;
  Bytes before = 1_TiB;
  while (memory->answer_bytes() <= 55_MiB) {
    out.push_back(answer(0, 50_MiB));
    EXPECT_LE(out.back().bytes(), before) << "the first ones leave something to the others";
    EXPECT_GE(out.back().bytes(), 1_MiB);
    before = out.back().bytes();
  }
  EXPECT_GT(out.size(), 15U);
  auto began = world.now();
  for (int i = 0; i < 20; ++i) {
    out.push_back(answer(0, 50_MiB));
    EXPECT_EQ(out.back().bytes(), RequestMemory::kSmall);
  }
  EXPECT_EQ(world.now(), began) << "nobody waited";
  EXPECT_LE(memory->answer_bytes(), 64_MiB);
  EXPECT_EQ(answer(1_MiB, 50_MiB).bytes(), 0) << "what needs more than a small answer's room has to wait";
  EXPECT_EQ(world.now(), began + 1s);
}

TEST_F(RequestMemoryTest, AnAnswerSettlesForWhatItHolds) {
  bound(-1, 16_MiB);
  auto one = answer(0, 50_MiB);
  EXPECT_EQ(one.bytes(), 14_MiB / 8);
  EXPECT_TRUE(memory->settle(one, 5000));
  EXPECT_EQ(memory->answer_bytes(), 5000);
  EXPECT_TRUE(memory->settle(one, 10_MiB)) << "its batch was larger, and there is room";
  EXPECT_EQ(memory->answer_bytes(), 10_MiB);
  auto other = answer(0, 1_MiB);
  EXPECT_FALSE(memory->settle(other, 12_MiB));
  EXPECT_EQ(other.bytes(), 0);
  EXPECT_EQ(memory->answer_bytes(), 10_MiB);
}

TEST_F(RequestMemoryTest, WhileSomebodyWaitsTheSlowerHalfGivesUpUntilThereIsRoom) {
  bound(14_MiB, -1);
  std::array<Holder, 4> holders;
  for (std::size_t i = 0; i < holders.size(); ++i) {
    holders[i].memory = *memory->try_request(1700_KiB);
    holders[i].request = 1s * static_cast<int>(i);  // the first is not slow
    holders[i].answer = 1h;                         // which is of no interest here
    memory->add(holders[i]);
  }
  world.run_for(1min);
  for (auto& holder : holders) EXPECT_EQ(holder.told, 0) << "nobody needs it";
  Wait wait;
  wait_for_request(2_MiB, wait);
  EXPECT_TRUE(world.run_until([&] { return wait.room.has_value(); }, 2s));
  EXPECT_EQ(holders[3].told, 1);
  EXPECT_EQ(holders[2].told, 1);
  EXPECT_EQ(holders[1].told, 0) << "what two gave up was enough";
  EXPECT_EQ(holders[0].told, 0);
  Wait more;
  wait_for_request(2_MiB, more);
  EXPECT_TRUE(world.run_until([&] { return more.room.has_value(); }, 2s));
  EXPECT_EQ(holders[1].told, 1);
  Wait last;
  wait_for_request(2_MiB, last);
  EXPECT_FALSE(world.run_until([&] { return last.room.has_value(); }, 10s)) << "nobody is too slow any more";
  EXPECT_EQ(holders[0].told, 0);
  for (auto& holder : holders) memory->remove(holder);
  test::run(world, machine, memory->stop());
  EXPECT_TRUE(last.room);
}

TEST_F(RequestMemoryTest, WhoWaitsIsLetGoAtAStop) {
  bound(1_MiB, 1_MiB);
  auto all = memory->try_request(500_KiB);
  Wait wait;
  wait_for_request(800_KiB, wait);
  world.run_for(1s);
  ASSERT_FALSE(wait.room);
  test::run(world, machine, memory->stop());
  world.run_for(1ms);
  ASSERT_TRUE(wait.room);
  EXPECT_EQ((*wait.room).error().code, ErrorCode::kStopping);
  all->release();
  EXPECT_FALSE(memory->try_request(1)) << "nobody gets room any more";
}

}  // namespace
}  // namespace forelog::api
