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

}  // namespace
}  // namespace forelog::log
