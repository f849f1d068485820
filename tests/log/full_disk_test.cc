// A disk that appends have filled, and what retention can still do about it.
#include "broker/log/shard_rewriter.h"
#include "broker/log/wal_format.h"
#include "tests/log/log_fixture.h"

#include <algorithm>

namespace forelog::log {
namespace {

using test::batch_of;

class FullDisk : public test::StorageTest {
 protected:
  static Task<void> cut_task(LocalLog& log, WallTime now) {
    log.cut(now);
    co_return;
  }
  int cut_and_seal() {
    run_here(cut_task(log(), machine->env().clock.wall()));
    return run_here(log().seal_up_to(log().durable_end())).value_or(-1);
  }
  // Leaves `bytes` of the disk.
  void leave(Bytes bytes) { machine->faults().disk_capacity = machine->disk().used() + bytes; }
  Bytes left() const { return machine->faults().disk_capacity - machine->disk().used(); }

  // Whether the disk took it.
  bool try_append() {
    auto appended = append_only(batch_of(std::string(5000, 'x')));
    if (!appended) return false;
    return run_here(log().wait_durable(appended->last + 1, machine->env().clock.now() + 10s)).has_value();
  }
};

class FullDiskTest : public FullDisk, public testing::WithParamInterface<Durability> {};

TEST_P(FullDiskTest, AppendsLeaveRoomToDeleteWhatIsOld) {
  wal_file = 64_KiB;
  TopicSettings topic;
  topic.durability = GetParam();
  start({{0, topic}});
  machine->faults().disk_reserve = 64_KiB;
  machine->faults().disk_capacity = machine->disk().used() + 1_MiB;
  int taken = 0;
  while (taken < 1000 && try_append()) {
    if (++taken % 10 != 0) continue;
    run_here(cut_task(log(), machine->env().clock.wall()));
    (void)run_here(log().seal_up_to(log().durable_end()));  // the last may be full, and not stored yet
  }
  ASSERT_LT(taken, 1000);
  EXPECT_EQ(log().error().value_or(Error{}).code, ErrorCode::kDiskFull);
  world->run_for(1min);
  auto deleted = run_here(log().set_log_start(Offset(taken / 2)));
  EXPECT_TRUE(deleted) << deleted.error().text();
  EXPECT_TRUE(world->run_until([&] { return !log().error(); }, 10s));
  EXPECT_TRUE(try_append());
  machine->faults() = {};
  stop();
}

// What is in the write-ahead log only would keep a shard from being sealed, and so from being deleted.
TEST_F(FullDisk, AShardThatHasEndedIsSealedWithAQuarterOfTheReserve) {
  start();
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(5000, 'x')));
  world->run_for(10s);  // the write-ahead log has made its next file, and overwrites from here on
  machine->faults().disk_reserve = 1_MiB;
  leave(1_MiB);
  EXPECT_EQ(cut_and_seal(), 1);
  EXPECT_EQ(log().error(), std::nullopt);

  for (int i = 0; i < 40; ++i) append(batch_of(std::string(5000, 'y')));
  EXPECT_EQ(cut_and_seal(), -1) << "two hundred KiB more are more than a quarter";
  EXPECT_EQ(log().error().value_or(Error{}).code, ErrorCode::kDiskFull);
  EXPECT_GE(left(), 768_KiB);
  ASSERT_TRUE(run_here(log().set_log_start(Offset(20))));
  EXPECT_TRUE(world->run_until([&] { return !log().error(); }, 10s));
  EXPECT_EQ(cut_and_seal(), 1);
  machine->faults() = {};
  stop();
}

// It would be written only to be deleted, and all that the disk has may lie in such shards.
TEST_F(FullDisk, AShardThatHasEndedIsDeletedUnwritten) {
  start();
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(5000, 'x')));
  world->run_for(10s);  // the write-ahead log has made its next file, and overwrites from here on
  ASSERT_TRUE(run_here(log().checkpoint()));
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(5000, 'y')));
  machine->faults().disk_reserve = 1_MiB;
  leave(700_KiB);
  EXPECT_EQ(cut_and_seal(), -1);
  append_only(batch_of("while it fails"));
  auto before = left();
  auto deleted = run_here(log().set_log_start(Offset(40)));
  ASSERT_TRUE(deleted) << deleted.error().text();
  EXPECT_EQ(deleted->size(), 1U);
  EXPECT_GT(left(), before);
  machine->faults() = {};
  EXPECT_TRUE(world->run_until([&] { return !log().error(); }, 10s));
  append(batch_of("after"));
  restart_after_crash();
  EXPECT_EQ(log().log_start(), Offset(40));
  EXPECT_EQ(values(Offset(40)), std::vector<std::string>{"after"});
  stop();
}

TEST_F(FullDisk, WhatIsBeingWrittenIsDeletedBehindTheWrite) {
  start();
  for (std::uint64_t pause = 0; pause < 40; ++pause) {
    auto start_of = log().end();
    for (int i = 0; i < 60; ++i) append(batch_of(std::string(5000, 'x')));
    append_only(batch_of(std::string(5000, 'x')));
    run_here(cut_task(log(), machine->env().clock.wall()));
    append(batch_of("kept"));
    auto kept = log().end() - 1;
    EXPECT_EQ(kept - start_of, 61);
    world->run_for(pause * 50us);
    ASSERT_TRUE(run_here(log().set_log_start(kept)));
    EXPECT_EQ(values(kept), std::vector<std::string>{"kept"});
    if (pause % 4 != 0) continue;
    restart_after_crash();
    EXPECT_EQ(values(kept), std::vector<std::string>{"kept"});
    EXPECT_EQ(machine->disk().list("data/log/" + machine->disk().list("data/log")->front())->size(), 1U);
  }
  stop();
}

TEST_F(FullDisk, WhatIsWrittenUnsyncedOfAShardThatHasEndedIsStoredToo) {
  TopicSettings topic;
  topic.durability = Durability::page_cache;
  start({{0, topic}});
  append(batch_of("before"));
  machine->faults().disk_reserve = 1_MiB;
  leave(1_MiB);
  ASSERT_TRUE(append_only(batch_of(std::string(5000, 'x'))));
  ASSERT_TRUE(world->run_until([&] { return log().error().has_value(); }, 5s));
  run_here(cut_task(log(), machine->env().clock.wall()));
  EXPECT_TRUE(world->run_until([&] { return log().durable_end() == log().end(); }, 5s));
  EXPECT_EQ(cut_and_seal(), 1);
  machine->faults() = {};
  stop();
}

TEST_F(FullDisk, ARewrittenShardLeavesRoomForTheChangeThatNamesIt) {
  start();
  for (int i = 0; i < 24; ++i) append(batch_of(std::string(100'000, 'x')));
  ASSERT_EQ(cut_and_seal(), 1);
  machine->faults().disk_reserve = 4_MiB;
  auto id = log().chain().id_of(log().chain().shards().front());
  auto read = *run_here(log().read(Offset(0), Offset(24), 4_MiB, true));
  auto rewrite = [&]() -> Result<Footer> {
    auto footer = TRY(run_here(log().footer_of(id)));
    ShardRewriter rewriter(machine->env(), log().segments_directory(), {id.partition, id.base, id.generation + 1},
                           {footer});
    TRY(run_here(rewriter.open()));
    Result<void> added;
    for (auto batches = flatten(read.batches); added && !batches.empty();) {
      auto size = *BatchView::size_of(batches);
      added = run_here(rewriter.add(batches.slice(0, size)));
      batches = batches.slice(size, batches.size() - size);
    }
    Result<Footer> finished = fail(ErrorCode::kUnknown, "not begun");
    if (added)
      finished = run_here(rewriter.finish());
    else
      finished = fail(added.error());
    EXPECT_GE(left(), 3_MiB);
    run_here(rewriter.abandon());
    return finished;
  };
  leave(4_MiB);
  auto refused = rewrite();
  ASSERT_FALSE(refused) << "more than a quarter of the reserve";
  EXPECT_EQ(refused.error().code, ErrorCode::kDiskFull);
  leave(8_MiB);
  EXPECT_TRUE(rewrite());
  stop();
}

// Files of the write-ahead log that wait to be used again have the room for what replay puts back.
TEST_F(FullDisk, ReplayHasTheRoomOfFilesThatWaited) {
  wal_file = 256_KiB;
  start();
  for (int i = 0; i < 300; ++i) append(batch_of(std::string(5000, 'x')));
  ASSERT_TRUE(run_here(log().checkpoint()));
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(5000, 'y')));
  world->run_for(10s);
  ASSERT_TRUE(run_here(machine->env().files.sync_directory("data/wal")));  // as the next file would
  crash(env::SimulatedWorld::Loss::all);
  auto names = *machine->disk().list("data/wal");
  ASSERT_TRUE(std::ranges::any_of(names, is_wal_spare_name)) << "the test needs one that waits";
  leave(10_KiB);
  ASSERT_NO_FATAL_FAILURE(start(settings));
  machine->faults() = {};
  EXPECT_EQ(values().size(), 320U);
  stop();
}

INSTANTIATE_TEST_SUITE_P(Durabilities, FullDiskTest, testing::Values(Durability::wal, Durability::page_cache));

}  // namespace
}  // namespace forelog::log
