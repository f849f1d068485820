// What a log that lost its first shards still knows of them.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;
using Loss = env::SimulatedWorld::Loss;

class LogStartTest : public test::StorageTest {
 protected:
  static Task<void> cut_task(LocalLog& log, WallTime now) {
    log.cut(now);
    co_return;
  }
};

// What follows from batches that retention took must outlive them: else a producer that sends one of its last five
// again, because the crash ate the answer, is refused or written twice.
TEST_F(LogStartTest, WhatFollowsFromDroppedShardsSurvivesAPowerCut) {
  for (bool sealed : {false, true}) {
    SCOPED_TRACE(sealed ? "sealed" : "cut");
    storage.reset();
    make_world(sealed ? 2 : 1);
    start({{0, small_shards()}});
    auto batch = [] { return batch_of(std::string(400, 'x')); };
    for (int i = 0; i < 3; ++i) append(batch());
    if (sealed) ASSERT_EQ(run_here(log().seal_up_to(Offset(2))), 1);
    ASSERT_EQ(run_here(log().set_log_start(Offset(2)))->size(), 1U);
    ASSERT_EQ(log().chain().shards().size(), 1U) << "nothing that is sealed is left before the open shard";
    restart_after_crash(Loss::all);
    EXPECT_EQ(storage->observers[0].records, 3);

    // And again, with a checkpoint of the shard that is first now, and another drop.
    append(batch());
    ASSERT_TRUE(run_here(log().checkpoint()));
    append(batch());
    restart_after_crash(Loss::all);
    EXPECT_EQ(storage->observers[0].records, 5);
    ASSERT_TRUE(run_here(log().set_log_start(Offset(4))));
    restart_after_crash(Loss::all);
    EXPECT_EQ(storage->observers[0].records, 5);
    stop();
  }
}

// A partition that nobody writes to any more keeps nothing of what retention took, as in Kafka.
TEST_F(LogStartTest, TheLastShardGoesToo) {
  for (auto loss : {Loss::all, Loss::some}) {
    for (bool sealed : {true, false}) {
      SCOPED_TRACE(sealed ? "sealed" : "cut");
      storage.reset();
      make_world(3);
      start();
      auto used = [&] { return *machine->disk().list("data/log/" + machine->disk().list("data/log")->front()); };
      for (int i = 0; i < 3; ++i) append(batch_of("old"), 0, Epoch(2));
      run_here(cut_task(log(), machine->env().clock.wall()));
      if (sealed) ASSERT_EQ(run_here(log().seal_up_to(Offset(3))), 1);
      ASSERT_EQ(run_here(log().set_log_start(Offset(3)))->size(), 1U);
      EXPECT_EQ(used(), std::vector<std::string>());
      restart_after_crash(loss);
      EXPECT_EQ(log().end(), Offset(3));
      EXPECT_EQ(log().log_start(), Offset(3));
      EXPECT_EQ(log().latest_epoch(), Epoch(2));
      EXPECT_EQ(storage->observers[0].records, 3);
      EXPECT_EQ(used(), std::vector<std::string>());
      EXPECT_EQ(append(batch_of("new"), 0, Epoch(2)).base, Offset(3));
      restart_after_crash(loss);
      EXPECT_EQ(values(Offset(3)), std::vector<std::string>{"new"});
      EXPECT_EQ(storage->observers[0].records, 4);
      stop();
    }
  }
}

// Its age counts from its first record, not from when the last one went.
TEST_F(LogStartTest, AShardThatWaitedForItsFirstRecordIsNotOld) {
  TopicSettings topic;
  topic.segment_age = 1h;
  start({{0, topic}});
  append(batch_of("old"));
  run_here(cut_task(log(), machine->env().clock.wall()));
  ASSERT_EQ(run_here(log().set_log_start(Offset(1)))->size(), 1U);
  world->run_for(3h);
  for (int i = 0; i < 3; ++i) append(batch_of("new", 1, kNoTimestamp));
  EXPECT_EQ(log().chain().shards().size(), 1U);
  stop();
}

TEST_F(LogStartTest, TruncationOfTheFirstShardKeepsWhatFollowsFromDroppedOnes) {
  start({{0, small_shards()}});
  for (int i = 0; i < 4; ++i) append(batch_of(std::string(400, 'x')));
  ASSERT_EQ(run_here(log().set_log_start(Offset(2)))->size(), 1U);
  ASSERT_TRUE(run_here(log().truncate_to(Offset(3))));
  EXPECT_EQ(storage->observers[0].records, 3);
  stop();
}

}  // namespace
}  // namespace forelog::log
