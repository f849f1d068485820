#include "broker/env/budget.h"

#include "tests/support/run_task.h"

#include <vector>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using enum TrafficClass;

struct Budget : testing::Test {
  SimulatedWorld world{1};
  SimulatedMachine& machine = world.machine();
  ByteBudget budget{machine.env().clock, 100};
  std::vector<Reservation> held;
  std::string granted;
  std::string failed;

  static Task<void> take(Budget& self, char name, Bytes bytes, TrafficClass traffic, Deadline deadline) {
    auto reservation = co_await self.budget.reserve(bytes, traffic, deadline);
    if (!reservation) {
      self.failed += name;
      co_return;
    }
    self.granted += name;
    self.held.push_back(*std::move(reservation));
  }
  void ask(char name, Bytes bytes, TrafficClass traffic, Deadline deadline = kForever) {
    machine.cores().spawn(CoreId{0}, take(*this, name, bytes, traffic, deadline));
    world.run_for(1ms);
  }
  void release_first() {
    held.erase(held.begin());
    world.run_for(1ms);
  }
};

TEST_F(Budget, GivesWhatFitsAndTakesItBackOnce) {
  auto a = *budget.try_reserve(60, cold);
  EXPECT_FALSE(budget.try_reserve(41, cold));
  auto b = std::move(a);
  EXPECT_EQ(budget.reserved(), 60);
  a.release();  // NOLINT(bugprone-use-after-move): what was moved from has nothing to give back
  EXPECT_EQ(budget.reserved(), 60);
  b.shrink(20);
  EXPECT_EQ(budget.reserved(), 20);
  b.release();
  b.release();
  EXPECT_EQ(budget.reserved(), 0);
}

TEST_F(Budget, TailPassesColdAndColdPassesPrefetch) {
  ask('a', 100, cold);
  ask('p', 30, prefetch);
  ask('b', 30, cold);
  ask('c', 30, cold);
  ask('t', 30, tail);
  EXPECT_EQ(granted, "a");
  release_first();
  EXPECT_EQ(granted, "atbc");
  release_first();
  EXPECT_EQ(granted, "atbcp");
}

TEST_F(Budget, SmallRequestsDoNotPassALargeOne) {
  ask('a', 60, cold);
  ask('L', 90, cold);
  ask('s', 10, cold);
  EXPECT_FALSE(budget.try_reserve(1, cold));
  EXPECT_TRUE(budget.try_reserve(1, tail));
  EXPECT_EQ(granted, "a");
  release_first();
  EXPECT_EQ(granted, "aLs");
}

TEST_F(Budget, RequestLargerThanTheLimitIsAdmittedAlone) {
  ask('a', 10, cold);
  ask('L', 500, cold);
  EXPECT_EQ(granted, "a");
  release_first();
  EXPECT_EQ(granted, "aL");
  EXPECT_FALSE(budget.try_reserve(1, tail));
  release_first();
  EXPECT_EQ(budget.reserved(), 0);
}

TEST_F(Budget, WhoWaitsTooLongMakesRoomForTheNext) {
  ask('a', 60, cold);
  ask('L', 90, cold, world.now() + 1s);
  ask('s', 10, cold);
  world.run_for(2s);
  EXPECT_EQ(failed, "L");
  EXPECT_EQ(granted, "as");
}

TEST_F(Budget, ClosingFailsWhoWaitsAndReservationsMayOutliveIt) {
  ask('a', 60, cold);
  ask('b', 60, cold);
  budget.close();
  world.run_for(1ms);
  EXPECT_EQ(failed, "b");
  EXPECT_FALSE(budget.try_reserve(1, tail));
  release_first();
  EXPECT_EQ(budget.reserved(), 0);
}

}  // namespace
}  // namespace forelog::env
