// Checkpoints that are wanted while another one is under way.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;

class CheckpointTest : public test::StorageTest {
 protected:
  static Task<void> tick_task(LocalLog& log, Instant now, WallTime wall) {
    log.tick(now, wall);
    co_return;
  }
  Result<void> durable(Offset end) { return run_here(log().wait_durable(end, machine->env().clock.now() + 5s)); }
};

TEST_F(CheckpointTest, OneThatIsWantedDuringAnotherComesAfterIt) {
  start();
  storage->context.checkpoint_bytes = 1;  // each append wants one
  machine->faults().disk = {100ms, 100ms};
  ASSERT_TRUE(append_only(batch_of("first")));
  world->run_for(50ms);
  ASSERT_TRUE(append_only(batch_of("second")));
  ASSERT_EQ(storage->metrics.checkpoints.value(), 0) << "the first one should be under way";
  EXPECT_TRUE(world->run_until([&] { return storage->metrics.checkpoints.value() == 2; }, 5s));
  world->run_for(10s);
  EXPECT_EQ(storage->metrics.checkpoints.value(), 2);
  stop();
}

// Of what is not in the write-ahead log a checkpoint must store all that lies before what is.
TEST_F(CheckpointTest, WhatFollowsUnsyncedBytesDoesNotWaitForTheNextOneByAge) {
  TopicSettings unsynced;
  unsynced.durability = Durability::page_cache;
  start({{0, unsynced}, {1, {}}});
  append(batch_of("opens the write-ahead log"), 1);
  append(batch_of("first"));
  world->run_for(10s);
  machine->faults().disk = {100ms, 100ms};
  auto now = machine->env().clock.now() + 1min;
  run_here(tick_task(log(), now, machine->env().clock.wall()));
  ASSERT_TRUE(append_only(batch_of("not logged")));
  run_here(set_task(log(), {}));
  ASSERT_TRUE(append_only(batch_of("logged")));
  auto waited = durable(Offset(3));
  EXPECT_TRUE(waited) << waited.error().text();
  stop();
}

}  // namespace
}  // namespace forelog::log
