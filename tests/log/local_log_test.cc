#include "broker/log/local_log.h"

#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;
using Loss = env::SimulatedWorld::Loss;

class LocalLogTest : public test::StorageTest {
 protected:
  std::string shards() { return log().chain().text(); }
};

TEST_F(LocalLogTest, WhatIsDurableIsReadBackInOrder) {
  start();
  EXPECT_EQ(append(batch_of("a", 3)).last, Offset(2));
  EXPECT_EQ(append(batch_of("b")).base, Offset(3));
  EXPECT_EQ(log().durable_end(), Offset(4));
  EXPECT_EQ(values(), (std::vector<std::string>{"a", "b"}));
  stop();
}

TEST_F(LocalLogTest, ReadBeginsWithTheBatchThatContainsTheOffsetAndEndsBelowTheLimit) {
  start();
  append(batch_of("a", 3));
  append(batch_of("b", 3));
  append(batch_of("c", 3));
  auto read = run_here(log().read(Offset(4), Offset(6), 1_MiB, true));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->start, Offset(3));
  EXPECT_EQ(read->end, Offset(6));
  EXPECT_TRUE(run_here(log().read(Offset(9), Offset(9), 1_MiB, true))->empty());
  EXPECT_EQ(run_here(log().read(Offset(10), Offset(10), 1_MiB, true)).error().code, ErrorCode::kOffsetOutOfRange);
  stop();
}

TEST_F(LocalLogTest, CleanRestartFindsEverythingAndScansNothing) {
  start();
  for (int i = 0; i < 20; ++i) append(batch_of("v" + std::to_string(i)));
  stop();
  start();
  EXPECT_EQ(storage->replayed.entries, 0);
  EXPECT_EQ(storage->metrics.recovered_bytes.value(), 0);
  EXPECT_EQ(storage->observers[0].records, 20);
  EXPECT_EQ(values().size(), 20U);
  EXPECT_EQ(append(batch_of("next")).base, Offset(20));
  stop();
}

TEST_F(LocalLogTest, PowerCutKeepsWhatWasAcknowledged) {
  start();
  append(batch_of("a"));
  append(batch_of("b"));
  auto lost = append_only(batch_of("unacknowledged"));
  ASSERT_TRUE(lost.has_value());
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(storage->observers[0].records, 2);
  EXPECT_EQ(append(batch_of("c")).base, Offset(2));
  stop();
}

// The catalog's word for it is not waited for. The archive may have the shard already, under this name.
TEST_F(LocalLogTest, AShardThatWasSealedWhenThePowerWentDoesNotGrowAgain) {
  start();
  append(batch_of("a"));
  append(batch_of("b"));
  log().cut(machine->env().clock.wall());
  ASSERT_EQ(*run_here(log().seal_up_to(Offset(2))), 1);
  auto before = log().sealed();
  ASSERT_EQ(before.size(), 1U);
  restart_after_crash(Loss::all);
  auto after = log().sealed();
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after[0].end, before[0].end);
  EXPECT_EQ(after[0].size, before[0].size);
  EXPECT_EQ(after[0].footer_size, before[0].footer_size);
  EXPECT_EQ(append(batch_of("c")).base, Offset(2));
  ASSERT_EQ(log().chain().shards().size(), 2U);
  EXPECT_EQ(log().chain().shards().back().base, Offset(2));
  EXPECT_EQ(values(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(storage->observers[0].records, 3);
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(log().sealed().size(), 1U);
  stop();
}

TEST_F(LocalLogTest, APartitionNeverWrittenToLeavesNothingOnTheDisk) {
  start({{0, {}}, {1, {}}});
  append(batch_of("a"), 0);
  stop();
  auto names = run_here(machine->env().files.list("data/log"));
  ASSERT_TRUE(names.has_value()) << names.error().text();
  EXPECT_EQ(names->size(), 1U);
  Catalog catalog(machine->env().local);
  EXPECT_EQ(run_here(catalog.partitions())->size(), 1U);
  start({{0, {}}, {1, {}}});
  append(batch_of("b"), 1);
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(Offset(0), 0), std::vector<std::string>{"a"});
  EXPECT_EQ(values(Offset(0), 1), std::vector<std::string>{"b"});
  stop();
}

TEST_F(LocalLogTest, AppendsThatFollowFastShareRoundsOfTheWriteAheadLog) {
  start();
  append(batch_of("first"));
  world->run_for(1s);
  machine->faults().disk = {1us, 2us};
  auto rounds = [&] {
    MetricsSnapshot metrics;
    storage->registry.collect(metrics);
    return metrics.at({"forelog_wal_rounds_total", ""}).value;
  };
  auto before = rounds();
  auto began = machine->env().clock.now();
  append(batch_of("alone"));
  EXPECT_LT(machine->env().clock.now() - began, 100us) << "nothing is waited for";
  for (int i = 0; i < 99; ++i) {
    ASSERT_TRUE(append_only(batch_of("more")).has_value());
    world->run_for(20us);
  }
  world->run_for(1ms);
  EXPECT_EQ(log().durable_end(), log().end());
  EXPECT_LE(rounds() - before, 10) << "in two milliseconds";
  stop();
}

TEST_F(LocalLogTest, ASlowWriterOverwritesAFileThatWasPrepared) {
  wal_file = 64_KiB;
  start();
  append(batch_of("a"));
  world->run_for(1s);
  append(batch_of("b"));
  bool whole = false;
  for (const auto& name : *run_here(machine->env().files.list("data/wal"))) {
    auto file = *run_here(machine->env().files.open("data/wal/" + name, env::OpenMode::read));
    whole = whole || (name.starts_with("wal-") && *run_here(file->size()) == wal_file);
  }
  EXPECT_TRUE(whole) << "what is written to has its size already";
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{"a", "b"}));
  stop();
}

TEST_F(LocalLogTest, WhatIsSentFromTheFileIsWhatIsRead) {
  tail_max = 128_KiB;
  start();
  for (int i = 0; i < 60; ++i) append(batch_of("v" + std::to_string(i) + std::string(9000, '.'), 3));
  int from_file = 0;
  for (auto from = Offset(1); from < log().end();) {
    auto sent = run_here(log().read_to_send(from, log().end(), 100_KiB, true));
    ASSERT_TRUE(sent.has_value()) << sent.error().text();
    ASSERT_FALSE(sent->empty());
    from_file += sent->batches.front().file() != nullptr;
    for (auto& slice : sent->batches) slice = slice.loaded();
    auto size = total_size(sent->batches);
    EXPECT_LE(size, 100_KiB);
    auto read = run_here(log().read(from, sent->end, size, true));
    ASSERT_TRUE(read.has_value()) << read.error().text();
    EXPECT_EQ(flatten(sent->batches), flatten(read->batches));
    EXPECT_EQ(sent->start, read->start);
    EXPECT_EQ(sent->first_timestamp, read->first_timestamp);
    from = sent->end;
  }
  EXPECT_GE(from_file, 2);
  stop();
}

TEST_F(LocalLogTest, WhatIsSentIsBoundedAsWhatIsRead) {
  tail_max = 4_KiB;
  start();
  for (int i = 0; i < 60; ++i) append(batch_of(std::string(900, '.'), 3));
  for (auto size_max : {Bytes{1}, 10_KiB, 40_KiB, 100_KiB}) {
    for (auto limit : {Offset(30), Offset(111), log().end()}) {
      for (auto from = Offset(0); from < limit;) {
        auto sent = run_here(log().read_to_send(from, limit, size_max, true));
        ASSERT_TRUE(sent.has_value()) << sent.error().text();
        ASSERT_FALSE(sent->empty());
        EXPECT_TRUE(total_size(sent->batches) <= size_max || sent->end - sent->start == 3) << "or one batch";
        EXPECT_LE(sent->end, limit);
        from = sent->end;
      }
    }
  }
  auto nothing = run_here(log().read_to_send(Offset(0), log().end(), 1, false));
  ASSERT_TRUE(nothing.has_value());
  EXPECT_TRUE(nothing->empty());
  stop();
}

TEST_F(LocalLogTest, WhatIsBeingSentOutlivesItsSegment) {
  tail_max = 128_KiB;
  start();
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(20'000, static_cast<char>('a' + i))));
  LogRead held;
  for (int i = 0; i < 100 && (held.empty() || held.batches.front().file() == nullptr); ++i) {
    auto sent = run_here(log().read_to_send(Offset(0), log().end(), 1_MiB, true));
    ASSERT_TRUE(sent.has_value()) << sent.error().text();
    held = *std::move(sent);
  }
  ASSERT_NE(held.batches.front().file(), nullptr);
  auto before = held.batches.front().loaded();
  log().cut(machine->env().clock.wall());
  append(batch_of("next"));
  ASSERT_TRUE(run_here(log().seal_up_to(log().end())).has_value());
  ASSERT_TRUE(run_here(log().set_log_start(Offset(20))).has_value());
  auto left = run_here(machine->env().files.list(partition_directory("data/log", log().partition())));
  ASSERT_TRUE(left.has_value());
  EXPECT_LE(left->size(), 1U) << "the segment is gone";
  EXPECT_EQ(held.batches.front().loaded(), before);
  stop();
}

// A failed sync may have made the system forget what it had in memory, so that the file shows older bytes.
TEST_F(LocalLogTest, AfterAFailedSyncNothingIsSentFromTheFileUntilItIsWrittenAgain) {
  tail_max = 128_KiB;
  TopicSettings settings;
  settings.durability = Durability::page_cache;  // so that all is written, and only the sync is left to fail
  start({{0, settings}});
  for (int i = 0; i < 20; ++i) append(batch_of(std::string(20'000, static_cast<char>('a' + i))));
  auto is_sent_from_file = [&] {
    for (int i = 0; i < 100; ++i) {  // the simulated file is not always in memory
      auto sent = run_here(log().read_to_send(Offset(0), log().end(), 1_MiB, true));
      EXPECT_TRUE(sent.has_value()) << sent.error().text();
      if (sent && sent->batches.front().file() != nullptr) return true;
    }
    return false;
  };
  EXPECT_TRUE(is_sent_from_file());
  machine->faults().disk_error_rate = 1;
  EXPECT_FALSE(run_here(log().checkpoint()).has_value());
  machine->faults().disk_error_rate = 0;
  EXPECT_FALSE(is_sent_from_file());
  ASSERT_TRUE(run_here(log().checkpoint()).has_value());
  EXPECT_TRUE(is_sent_from_file());
  stop();
}

TEST_F(LocalLogTest, ShardsAreCutBySizeAndSealedBelowTheHighWatermark) {
  start({{0, small_shards()}});
  for (int i = 0; i < 5; ++i) append(batch_of(std::string(400, 'x')));
  EXPECT_EQ(log().chain().shards().size(), 3U);
  EXPECT_EQ(*run_here(log().seal_up_to(Offset(3))), 1);
  ASSERT_EQ(log().sealed().size(), 1U);
  EXPECT_EQ(log().sealed()[0].end, Offset(2));
  auto footer = run_here(log().footer_of(log().chain().id_of(log().sealed()[0])));
  ASSERT_TRUE(footer.has_value());
  EXPECT_EQ((*footer)->end, Offset(2));
  EXPECT_EQ((*footer)->size, log().sealed()[0].size);
  ByteReader snapshot((*footer)->producer_snapshot);
  EXPECT_EQ(snapshot.i64(), 2) << "the snapshot is of the shard's end, not of now";
  stop();
  start({{0, small_shards()}});
  EXPECT_EQ(log().sealed().size(), 1U);
  EXPECT_EQ(values().size(), 5U);
  stop();
}

TEST_F(LocalLogTest, NewEpochCutsAndIsRemembered) {
  start();
  append(batch_of("a", 2), 0, Epoch(3));
  log().begin_epoch(Epoch(4));
  append(batch_of("b"), 0, Epoch(5));
  append(batch_of("c"), 0, Epoch(7));
  EXPECT_EQ(log().chain().shards().size(), 3U);
  auto ends = [&](int epoch) {
    auto answer = log().epoch_end(Epoch(epoch));
    return std::pair(answer.epoch.value(), answer.end.value());
  };
  EXPECT_EQ(ends(2), std::pair(2, INT64_C(0)));
  EXPECT_EQ(ends(3), std::pair(3, INT64_C(2)));
  EXPECT_EQ(ends(4), std::pair(3, INT64_C(2)));
  EXPECT_EQ(ends(6), std::pair(5, INT64_C(3)));
  EXPECT_EQ(ends(7), std::pair(7, INT64_C(4)));
  EXPECT_EQ(ends(8), std::pair(-1, INT64_C(-1)));
  auto before = log().epochs();
  restart_after_crash(Loss::all);
  EXPECT_EQ(log().epochs(), before);
  stop();
}

// As with Kafka: an epoch whose records have gone ended where the log starts, not where some later epoch once began
// that has lost its first records too.
TEST_F(LocalLogTest, EpochsThatHaveGoneEndWhereTheLogStarts) {
  start();
  append(batch_of("a", 3), 0, Epoch(0));
  append(batch_of("b", 3), 0, Epoch(2));
  append(batch_of("c", 4), 0, Epoch(4));
  auto ends = [&](int epoch) {
    auto answer = log().epoch_end(Epoch(epoch));
    return std::pair(answer.epoch.value(), answer.end.value());
  };
  ASSERT_TRUE(run_here(log().set_log_start(Offset(5))).has_value());
  EXPECT_EQ(ends(0), std::pair(0, INT64_C(5)));
  EXPECT_EQ(ends(2), std::pair(2, INT64_C(6)));
  ASSERT_TRUE(run_here(log().set_log_start(Offset(8))).has_value());
  auto check = [&] {
    EXPECT_EQ(ends(0), std::pair(0, INT64_C(8)));
    EXPECT_EQ(ends(1), std::pair(1, INT64_C(8)));
    EXPECT_EQ(ends(2), std::pair(2, INT64_C(8)));
    EXPECT_EQ(ends(4), std::pair(4, INT64_C(10)));
    EXPECT_EQ(ends(5), std::pair(-1, INT64_C(-1)));
    EXPECT_EQ(log().epochs(), (std::vector<EpochStart>{{Epoch(4), Offset(8)}}));
  };
  check();
  restart_after_crash(Loss::all);
  check();
  // All records gone: the next leader begins where the log starts and ends.
  ASSERT_TRUE(run_here(log().set_log_start(Offset(10))).has_value());
  EXPECT_EQ(ends(2), std::pair(2, INT64_C(10)));
  log().begin_epoch(Epoch(6));
  append(batch_of("d"), 0, Epoch(6));
  EXPECT_EQ(ends(4), std::pair(4, INT64_C(10)));
  EXPECT_EQ(ends(6), std::pair(6, INT64_C(11)));
  restart_after_crash(Loss::all);
  EXPECT_EQ(ends(4), std::pair(4, INT64_C(10)));
  EXPECT_EQ(ends(6), std::pair(6, INT64_C(11)));
  stop();
}

TEST_F(LocalLogTest, ArchivedShardLeavesTheDiskAndStaysInTheChain) {
  start({{0, small_shards()}});
  for (int i = 0; i < 5; ++i) append(batch_of(std::string(400, 'x')));
  ASSERT_EQ(*run_here(log().seal_up_to(Offset(5))), 2);
  auto shard = log().chain().id_of(log().sealed()[0]);
  EXPECT_EQ(run_here(log().drop_local(shard)).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(run_here(log().mark_archived(shard)).has_value());
  ASSERT_TRUE(run_here(log().drop_local(shard)).has_value());
  EXPECT_EQ(log().local_start(), Offset(2));
  EXPECT_EQ(log().log_start(), Offset(0));
  EXPECT_TRUE(run_here(log().footer_of(shard)).has_value());
  restart_after_crash(Loss::all);
  EXPECT_EQ(log().local_start(), Offset(2));
  EXPECT_EQ(run_here(log().read(Offset(0), Offset(5), 1_MiB, true)).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(values(Offset(2)).size(), 3U);
  stop();
}

TEST_F(LocalLogTest, ArchiveGetsDataAndFooterButNoDamagedBlock) {
  start({{0, small_shards()}});
  for (int i = 0; i < 3; ++i) append(batch_of(std::string(400, 'x')));
  ASSERT_EQ(*run_here(log().seal_up_to(Offset(3))), 1);
  auto shard = log().sealed()[0];
  auto id = log().chain().id_of(shard);
  {
    auto content = *run_here(log().content_of(id));
    EXPECT_EQ(content->size(), shard.object_size());
    auto all = *run_here(content->read(0, content->size()));
    auto footer = Footer::decode(all.slice(static_cast<std::size_t>(shard.size)));
    ASSERT_TRUE(footer.has_value());
    EXPECT_EQ(footer->shard, id);
    EXPECT_EQ(run_here(content->read(shard.size - 3, 6))->view().size(), 6U);
  }
  ASSERT_TRUE(machine->disk().flip_bit(segment_path("data/log", id), 100).has_value());
  auto content = *run_here(log().content_of(id));
  EXPECT_EQ(run_here(content->read(0, 10)).error().code, ErrorCode::kCorruptBlock);
  stop();
}

TEST_F(LocalLogTest, LogStartDropsWholeShards) {
  start({{0, small_shards()}});
  for (int i = 0; i < 5; ++i) append(batch_of(std::string(400, 'x')));
  auto dropped = run_here(log().set_log_start(Offset(3)));
  ASSERT_TRUE(dropped.has_value());
  ASSERT_EQ(dropped->size(), 1U);
  EXPECT_EQ(log().log_start(), Offset(3));
  EXPECT_EQ(log().local_start(), Offset(3));
  EXPECT_EQ(run_here(log().read(Offset(2), Offset(5), 1_MiB, true)).error().code, ErrorCode::kOffsetOutOfRange);
  restart_after_crash(Loss::all);
  EXPECT_EQ(log().log_start(), Offset(3));
  EXPECT_EQ(values(Offset(3)).size(), 2U);
  stop();
}

TEST_F(LocalLogTest, TimestampFindsTheFirstRecordAtOrAfterIt) {
  start({{0, small_shards()}});
  for (int i = 0; i < 10; ++i) append(batch_of(std::string(200, 'x'), 1, 1000 + 10 * i));
  auto at = [&](std::int64_t t) { return **run_here(log().find_by_time(t, Offset(10))); };
  EXPECT_EQ(at(0), (TimestampedOffset{1000, Offset(0)}));
  EXPECT_EQ(at(1041), (TimestampedOffset{1050, Offset(5)}));
  EXPECT_FALSE(run_here(log().find_by_time(1091, Offset(10)))->has_value());
  EXPECT_FALSE(run_here(log().find_by_time(1090, Offset(9)))->has_value()) << "not below the limit";
  EXPECT_EQ(*run_here(log().max_timestamp(Offset(10))), (TimestampedOffset{1090, Offset(9)}));
  stop();
}

TEST_F(LocalLogTest, TruncationSurvivesAPowerCut) {
  start({{0, small_shards()}});
  for (int i = 0; i < 5; ++i) append(batch_of(std::string(400, static_cast<char>('a' + i))));
  ASSERT_TRUE(run_here(log().truncate_to(Offset(1))).has_value());
  EXPECT_EQ(log().end(), Offset(1));
  EXPECT_EQ(storage->observers[0].records, 1);
  append(batch_of("new"));
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{std::string(400, 'a'), "new"}));
  EXPECT_EQ(storage->observers[0].records, 2);
  stop();
}

TEST_F(LocalLogTest, FullDiskRefusesAppendsAndHealsByItself) {
  start();
  append(batch_of("before"));
  machine->faults().disk_capacity = machine->disk().used();
  auto pending = append_only(batch_of(std::string(3000, 'p')));
  ASSERT_TRUE(pending.has_value());
  auto waited = run_here(log().wait_durable(Offset(2), machine->env().clock.now() + 10s));
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(append_only(batch_of("refused")).error().code, ErrorCode::kDiskFull);
  machine->faults().disk_capacity = std::numeric_limits<Bytes>::max();
  EXPECT_TRUE(world->run_until([&] { return !log().error() && log().durable_end() == Offset(2); }, 5s));
  EXPECT_EQ(append(batch_of("after")).base, Offset(2));
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{"before", std::string(3000, 'p'), "after"}));
  stop();
}

TEST_F(LocalLogTest, WhoCannotWriteIsNamedUntilItCan) {
  TopicSettings unsynced;
  unsynced.durability = Durability::page_cache;
  start({{0, unsynced}});
  append(batch_of("before"));
  EXPECT_EQ(storage->failing.text(), std::nullopt);
  machine->faults().disk_capacity = machine->disk().used();
  ASSERT_TRUE(append_only(batch_of(std::string(3000, 'p'))).has_value());
  EXPECT_TRUE(world->run_until([&] { return log().error().has_value(); }, 5s));
  EXPECT_NE(storage->failing.text().value_or("").find("1 partition(s) cannot be written"), std::string::npos);
  machine->faults().disk_capacity = std::numeric_limits<Bytes>::max();
  EXPECT_TRUE(world->run_until([&] { return !log().error(); }, 5s));
  EXPECT_EQ(storage->failing.text(), std::nullopt);
  stop();
}

TEST_F(LocalLogTest, TailUnderPressureLeavesReadsToTheSegment) {
  tail_max = 64_KiB;
  start();
  std::vector<std::string> written;
  for (int i = 0; i < 100; ++i) {
    written.push_back(std::string(5000, static_cast<char>('a' + i % 26)));
    append(batch_of(written.back()));
  }
  EXPECT_LE(storage->budget.used(), 2 * tail_max);
  EXPECT_EQ(values(Offset(0), 0, 12000), written);
  EXPECT_GT(storage->metrics.file_reads.value(), 0);
  stop();
}

TEST_F(LocalLogTest, WriteAheadLogIsBoundedByCheckpoints) {
  wal_file = 64_KiB;
  start();
  for (int i = 0; i < 400; ++i) append(batch_of(std::string(5000, 'x')));
  Bytes used = 0;
  for (const auto& name : *machine->disk().list("data/wal")) {
    used += machine->disk().size(**machine->disk().open("data/wal/" + name, env::OpenMode::read));
  }
  EXPECT_LE(used, 11 * wal_file) << "eight files, two spares, one being opened";
  EXPECT_EQ(values().size(), 400U);
  restart_after_crash(Loss::all);
  EXPECT_EQ(values().size(), 400U);
  stop();
}

TEST_F(LocalLogTest, PartitionsAreAskedToCheckpointOneAfterTheOther) {
  wal_file = 64_KiB;
  constexpr int kPartitions = 16;
  std::map<int, TopicSettings> many;
  for (int i = 0; i < kPartitions; ++i) many[i] = {};
  start(many);
  std::int64_t most = 0, before = 0;
  for (int i = 0; i < 600; ++i) {
    append(batch_of(std::string(1000, 'x')), i % kPartitions);
    world->run_for(10ms);
    auto now = storage->metrics.checkpoints.value();
    most = std::max(most, now - before);
    before = now;
  }
  EXPECT_GE(before, 2 * kPartitions) << "they were asked";
  EXPECT_LE(most, 3) << "and not together: their syncs would stand in the way of every round";
  stop();
}

TEST_F(LocalLogTest, ChangeToWalDoesNotAcknowledgeAcrossUnsyncedBytes) {
  TopicSettings fast;
  fast.durability = Durability::page_cache;
  start({{0, fast}});
  append(batch_of("page cache"));
  run_here(set_task(log(), {}));
  append(batch_of("wal"));
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), (std::vector<std::string>{"page cache", "wal"}));
  stop();
}

TEST_F(LocalLogTest, ADiskThatTurnsReadOnlyRefusesAppendsServesReadsAndHealsByItself) {
  start();
  for (int i = 0; i < 20; ++i) append(batch_of("before " + std::to_string(i)));
  auto before = values();
  machine->faults().disk_read_only = true;
  auto pending = append_only(batch_of("pending"));
  ASSERT_TRUE(pending.has_value());
  auto waited = run_here(log().wait_durable(pending->last + 1, machine->env().clock.now() + 10s));
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, ErrorCode::kIo);
  EXPECT_NE(waited.error().text().find("Read-only file system"), std::string::npos) << waited.error().text();
  EXPECT_EQ(append_only(batch_of("refused")).error().code, ErrorCode::kIo);
  ASSERT_GE(values().size(), before.size()) << "reads go on";
  world->run_for(10min);
  machine->faults().disk_read_only = false;
  EXPECT_TRUE(world->run_until([&] { return !log().error() && log().durable_end() == pending->last + 1; }, 5s));
  append(batch_of("after"));
  before.emplace_back("pending");
  before.emplace_back("after");
  restart_after_crash(Loss::all);
  EXPECT_EQ(values(), before);
  stop();
}

TEST_F(LocalLogTest, ACrashWhileTheDiskIsReadOnlyLosesNothingAcknowledged) {
  start();
  for (int i = 0; i < 20; ++i) append(batch_of("before " + std::to_string(i)));
  auto before = values();
  machine->faults().disk_read_only = true;
  ASSERT_TRUE(append_only(batch_of("never acknowledged")).has_value());
  world->run_for(1s);
  crash(Loss::all);
  machine->faults().disk_read_only = false;
  start(settings);
  EXPECT_EQ(values(), before);
  append(batch_of("after"));
  stop();
}

}  // namespace
}  // namespace forelog::log
