// Truncations that fail, are interrupted, or are followed by appends that the write-ahead log does not have.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;
using Loss = env::SimulatedWorld::Loss;
using Values = std::vector<std::string>;

class TruncationTest : public test::StorageTest {
 protected:
  static TopicSettings unlogged() {
    TopicSettings topic;
    topic.durability = Durability::page_cache;
    return topic;
  }
  static Task<void> truncate_task(LocalLog& log, Offset end, bool& ended) {
    (void)co_await log.truncate_to(end);
    ended = true;
  }
};

TEST_F(TruncationTest, OneThatFailsLeavesTheProducersAsTheyWere) {
  start();
  for (const auto* text : {"a", "b", "c"}) append(batch_of(text));
  ASSERT_TRUE(run_here(log().checkpoint()));
  machine->faults().disk_error_rate = 1;
  EXPECT_FALSE(run_here(log().truncate_to(Offset(1))));
  machine->faults().disk_error_rate = 0;
  EXPECT_EQ(log().end(), Offset(3));
  EXPECT_EQ(storage->observers[0].records, 3);
  stop();
}

TEST_F(TruncationTest, WhatFollowsItSurvivesACrashWithoutTheWriteAheadLogToo) {
  start({{0, unlogged()}});
  for (const auto* text : {"a", "b", "c"}) append(batch_of(text));
  ASSERT_TRUE(run_here(log().truncate_to(Offset(1))));
  append(batch_of("new"));
  ASSERT_TRUE(run_here(log().checkpoint()));
  append(batch_of("newer"));
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (Values{"a", "new", "newer"})) << "replay knows of a truncation, and of all that followed it";
  stop();
}

TEST_F(TruncationTest, WhatFollowsItSurvivesAChangeOfDurability) {
  start();
  for (const auto* text : {"a", "b", "c"}) append(batch_of(text));
  run_here(set_task(log(), unlogged()));
  ASSERT_TRUE(run_here(log().truncate_to(Offset(1))));
  append(batch_of("new"));
  ASSERT_TRUE(run_here(log().checkpoint()));
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (Values{"a", "new"}));
  stop();
}

TEST_F(TruncationTest, WhatAStopInterruptsIsDoneInTheEnd) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    make_world(seed);
    start();
    for (const auto* text : {"a", "b", "c"}) append(batch_of(text));
    ASSERT_TRUE(run_here(log().checkpoint()));
    bool ended = false;
    machine->cores().spawn(CoreId(0), truncate_task(log(), Offset(1), ended));
    ASSERT_TRUE(world->run_until([&] { return log().end() == Offset(1); }, 1s));
    machine->faults().disk_read_only = true;
    world->run_for(10ms);
    EXPECT_FALSE(ended);
    machine->faults().disk_read_only = false;
    machine->faults().disk_error_rate = seed % 2 == 0 ? 0 : 0.3;
    (void)run_here(log().close());  // which may fail, too
    machine->faults().disk_error_rate = 0;
    storage->logs.clear();
    stop();
    start();
    EXPECT_EQ(values(), Values{"a"}) << "seed " << seed;
    stop();
  }
}

}  // namespace
}  // namespace forelog::log
