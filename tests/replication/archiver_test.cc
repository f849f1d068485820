#include "broker/replication/archiver.h"

#include "broker/base/log.h"
#include "tests/replication/life.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using forelog::test::run;
using namespace test;

log::TopicSettings archived_topic() {
  log::TopicSettings settings;
  settings.remote_storage = true;
  settings.retention = -1ms;
  settings.segment_bytes = 1_MiB;
  return settings;
}

Task<void> read_archived(Life& life, Offset from, std::string& values, Deadline deadline) {
  auto landed = std::make_shared<Event>(life.env.clock);
  for (auto at = from; at < life.archived.end() && life.env.clock.now() < deadline;) {
    auto read = life.archived.try_read({.from = at, .limit = life.archived.end(), .size_max = 1_MiB}, landed);
    if (!read) {
      co_await sleep_until(life.env.clock, life.env.clock.now() + 300ms);
      continue;
    }
    auto visit = [&](log::BatchView view) {
      auto records = log::Records::open(view, 1_MiB);
      log::Record record;
      while (*records->next(record)) values += as_text(*record.value).substr(0, 1);
      return true;
    };
    CHECK(log::for_each_batch(read->batches, visit).has_value());
    at = read->end;
    if (read->waiting) co_await landed->wait(deadline);
  }
}

class ArchiverTest : public testing::Test {
 protected:
  void begin(log::TopicSettings settings = archived_topic(), Epoch epoch = Epoch(1)) {
    life = std::make_shared<Life>(machine().env(), std::move(settings));
    run(world, machine(), life->open(epoch));
  }
  void end() {
    run(world, machine(), life->close());
    life.reset();
  }
  void crash() {
    world.crash(machine());
    env::abandon(std::exchange(life, nullptr));
    world.restart(machine());
  }
  void TearDown() override {
    if (life) end();
  }
  void produce(int shards) { run(world, machine(), life->produce(shards)); }
  bool all_archived() { return life->archived.end() == life->log->end() && life->log->sealed().empty(); }
  void settle() {
    ASSERT_TRUE(world.run_until([&] { return all_archived(); }, 600s));
  }

  env::SimulatedMachine& machine() { return *machine_; }
  std::vector<std::string> keys(std::string_view part = "") {
    std::vector<std::string> out;
    for (const auto& [key, bytes] : world.objects()) {
      if (key.find(part) != std::string::npos) out.push_back(key);
    }
    return out;
  }
  std::vector<std::string> expected_keys() {
    std::vector<std::string> out;
    for (const auto& shard : life->archived.shards()) {
      out.push_back(archive::object_key("forelog", {kPartition, shard.base, shard.generation}));
    }
    return out;
  }
  cluster::ChainRecord record() {
    auto znode = run(world, machine(), machine().env().metadata.get(cluster::chain_path(kPartition)));
    return *cluster::decode_chain_record(kPartition, znode->data);
  }
  void expect_all_readable(Offset from) {
    std::string values;
    run(world, machine(), read_archived(*life, from, values, world.now() + 60s));
    std::string expected;
    for (auto offset = from; offset < life->archived.end(); ++offset) expected += value_of(offset.value())[0];
    EXPECT_EQ(values, expected);
  }

  env::SimulatedWorld world{3};
  env::SimulatedMachine* machine_ = &world.machine();
  std::shared_ptr<Life> life;
};

TEST_F(ArchiverTest, SealedShardsComeIntoTheArchiveAndAreReadFromThere) {
  begin();
  produce(5);
  settle();
  EXPECT_EQ(life->archived.end(), Offset(10));
  EXPECT_EQ(keys(), expected_keys());
  EXPECT_EQ(record().shards.size(), 5U);
  EXPECT_EQ(life->archiver_metrics.waiting_shards.value(), 0);
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, ATopicWithoutRemoteStorageStaysLocal) {
  auto settings = archived_topic();
  settings.remote_storage = false;
  begin(settings);
  produce(3);
  world.run_for(20s);
  EXPECT_TRUE(world.objects().empty());
  EXPECT_TRUE(life->archived.empty());
}

TEST_F(ArchiverTest, ArchivingWaitsForAnArchiveThatIsAwayAndResumesByItself) {
  begin();
  machine().faults().archive_outage = true;
  produce(3);
  world.run_for(30s);
  EXPECT_TRUE(life->archived.empty());
  EXPECT_EQ(life->archiver_metrics.waiting_shards.value(), 3);
  EXPECT_LT(machine().archive().traffic().puts, 40U);
  machine().faults().archive_outage = false;
  ASSERT_TRUE(world.run_until([&] { return all_archived(); }, 10s));
}

TEST_F(ArchiverTest, AnArchiveThatStaysAwayIsOneLineInTheLog) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) { lines.emplace_back(line); });
  begin();
  machine().faults().archive_outage = true;
  produce(3);
  world.run_for(10min);
  EXPECT_GT(life->archiver_metrics.failures.value(), 5);
  machine().faults().archive_outage = false;
  settle();
  world.run_for(1min);
  set_log_sink({});
  auto count = [&](std::string_view what) {
    return std::ranges::count_if(lines, [&](const std::string& line) { return line.contains(what); });
  };
  EXPECT_EQ(count("archiving_failed"), 1);
  EXPECT_EQ(count("archiving_resumed"), 1);
}

TEST_F(ArchiverTest, AnHourWithoutAnArchiveLosesNothingAndIsMadeUpForInMinutes) {
  begin();
  produce(2);
  settle();
  machine().faults().archive_outage = true;
  auto before = machine().archive().traffic().puts;
  for (int minutes = 0; minutes < 60; minutes += 5) {
    produce(1);
    world.run_for(5min);
  }
  EXPECT_EQ(life->archiver_metrics.waiting_shards.value(), 12);
  EXPECT_EQ(life->archived.end(), Offset(4));
  EXPECT_LT(machine().archive().traffic().puts - before, 2000U) << "one attempt in two seconds";
  // What is not archived stays on the disk and is read there.
  auto kept = run(world, machine(), life->log->read(Offset(4), life->log->end(), 1_MiB, true));
  ASSERT_TRUE(kept.has_value());
  EXPECT_FALSE(kept->empty());
  machine().faults().archive_outage = false;
  ASSERT_TRUE(world.run_until([&] { return all_archived(); }, 3min));
  EXPECT_EQ(keys(), expected_keys());
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, BadLuckWithEveryStoreDelaysAndBreaksNothing) {
  begin();
  auto& faults = machine().faults();
  faults.archive_failure_rate = faults.archive_break_rate = 0.2;
  faults.archive_wrong_bytes_rate = 0.1;
  faults.metadata_failure_rate = 0.2;
  produce(20);
  settle();
  faults = {};
  EXPECT_EQ(keys(), expected_keys());
  expect_all_readable(Offset(0));
}

// All that is on the disk lies in shards that cannot be sealed, as that takes room: it would stay full for ever.
TEST_F(ArchiverTest, RetentionFreesADiskThatHasNoRoomToSeal) {
  auto settings = archived_topic();
  settings.remote_storage = false;
  settings.retention = 60s;
  begin(settings);
  run(world, machine(), life->produce_unsealed());
  life->log->set_high_watermark(life->log->end());
  machine().faults().disk_reserve = 64_KiB;
  machine().faults().disk_capacity = machine().disk().used() + 40_KiB;
  EXPECT_FALSE(run(world, machine(), life->log->seal_up_to(life->log->end())));
  auto files = [&] { return machine().disk().list("data/" + machine().disk().list("data")->front())->size(); };
  EXPECT_TRUE(world.run_until([&] { return files() == 0; }, 10min));
  EXPECT_EQ(life->log->log_start(), life->log->end());
  EXPECT_TRUE(world.run_until([&] { return !life->log->error(); }, 1s));
  machine().faults() = {};
}

TEST_F(ArchiverTest, LocalBytesGoByTheirOwnRetentionAndStayReadable) {
  auto settings = archived_topic();
  settings.local_retention = 10s;
  begin(settings);
  produce(4);
  settle();
  EXPECT_EQ(life->log->local_start(), Offset(0));
  world.run_for(30s);
  EXPECT_EQ(life->log->local_start(), Offset(8));
  EXPECT_EQ(life->log->log_start(), Offset(0));
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, TellsWhichOffsetsHaveLeftTheDisk) {
  auto settings = archived_topic();
  settings.local_retention = 10s;
  begin(settings);
  std::vector<std::pair<Offset, Offset>> gone;
  life->archiver_context.on_local_drop = [&](const PartitionKey& key, Offset from, Offset to) {
    EXPECT_EQ(key, kPartition);
    EXPECT_GE(life->log->local_start(), to);
    gone.emplace_back(from, to);
  };
  produce(4);
  settle();
  EXPECT_TRUE(gone.empty());
  world.run_for(30s);
  ASSERT_FALSE(gone.empty());
  EXPECT_EQ(gone.front().first, Offset(0));
  EXPECT_EQ(gone.back().second, Offset(8));
}

TEST_F(ArchiverTest, RetentionRemovesShardsWhereverTheyLie) {
  auto settings = archived_topic();
  settings.retention = 60s;
  settings.local_retention = 1s;
  begin(settings);
  produce(3);
  settle();
  world.run_for(40s);
  produce(2);
  settle();
  world.run_for(30s);
  EXPECT_EQ(life->log->log_start(), Offset(6));
  EXPECT_EQ(life->archived.start(), Offset(6));
  EXPECT_EQ(keys(), expected_keys());
  EXPECT_EQ(record().log_start, Offset(6));
  EXPECT_EQ(record().shards.size(), 2U);
}

TEST_F(ArchiverTest, ObjectsThatCouldNotBeDeletedAreDeletedLater) {
  auto settings = archived_topic();
  settings.retention = 20s;
  begin(settings);
  produce(3);
  settle();
  machine().faults().archive_outage = true;
  world.run_for(40s);
  EXPECT_EQ(life->log->log_start(), Offset(6));
  EXPECT_EQ(keys().size(), 3U);
  machine().faults().archive_outage = false;
  ASSERT_TRUE(world.run_until([&] { return keys().empty(); }, 20s));
}

TEST_F(ArchiverTest, WhatATrimmedChainNoLongerNamesGoesThoughTheAnswerWasLost) {
  auto settings = archived_topic();
  settings.retention = 20s;
  begin(settings);
  for (int round = 0; round < 8; ++round) {
    produce(2);
    settle();
    machine().faults().metadata_failure_rate = 0.7;
    world.run_for(40s);
    machine().faults().metadata_failure_rate = 0;
    ASSERT_TRUE(world.run_until([&] { return keys().empty(); }, 60s)) << round << ": " << keys().front();
  }
}

TEST_F(ArchiverTest, DeletedRecordsLeaveChainAndArchive) {
  begin();
  produce(4);
  settle();
  auto removed = run(world, machine(), life->log->set_log_start(Offset(5)));
  ASSERT_TRUE(removed);
  life->archiver->wake();
  world.run_for(2s);
  EXPECT_EQ(life->archived.start(), Offset(4));
  EXPECT_EQ(keys(), expected_keys());
  EXPECT_EQ(record().shards.size(), 2U);
}

TEST_F(ArchiverTest, ALongChainSpillsIntoManifestsAndIsFoundByABrokerThatKnowsNothing) {
  begin();
  for (int i = 0; i < 6; ++i) {
    produce(100);
    settle();
  }
  world.run_for(5s);
  EXPECT_LE(record().shards.size(), static_cast<std::size_t>(kChainRecordShardsMax));
  EXPECT_FALSE(record().manifest.empty());
  EXPECT_EQ(keys("manifest").size(), 1U);
  EXPECT_EQ(keys().size(), 601U);
  end();
  auto& other = world.machine();
  machine_ = &other;
  begin(archived_topic(), Epoch(2));
  ASSERT_TRUE(world.run_until([&] { return life->archived.end() == Offset(1200); }, 10s));
  EXPECT_EQ(life->archived.start(), Offset(0));
  EXPECT_EQ(life->log->end(), Offset(1200));
  expect_all_readable(Offset(1100));
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, RetentionReachesIntoManifestsAndDeletesThemAtLast) {
  auto settings = archived_topic();
  begin(settings);
  produce(300);
  settle();
  ASSERT_EQ(keys("manifest").size(), 1U);
  ASSERT_TRUE(run(world, machine(), life->log->set_log_start(Offset(100))));
  life->archiver->wake();
  world.run_for(10s);
  EXPECT_EQ(keys().size(), 251U);
  EXPECT_EQ(life->archived.start(), Offset(100));
  ASSERT_TRUE(run(world, machine(), life->log->set_log_start(Offset(590))));
  life->archiver->wake();
  world.run_for(20s);
  EXPECT_EQ(keys(), expected_keys());
  EXPECT_EQ(record().manifest, "");
}

TEST_F(ArchiverTest, AManifestThatIsGoneOrDamagedIsMadeAnewFromTheCatalog) {
  begin();
  produce(300);
  settle();
  for (bool damaged : {false, true}) {
    end();
    auto& manifest = world.objects()[keys("manifest").front()];
    auto rotten = std::string(manifest.text());
    rotten[rotten.size() / 2] ^= 1;
    manifest = Buffer::take(std::move(rotten));
    if (!damaged) world.objects().erase(keys("manifest").front());
    begin();
    produce(3);
    settle();
    EXPECT_EQ(keys("manifest"), (std::vector<std::string>{record().manifest}));
    expect_all_readable(Offset(0));
  }
  // A broker that knows nothing finds all of it again.
  end();
  machine_ = &world.machine();
  begin(archived_topic(), Epoch(2));
  ASSERT_TRUE(world.run_until([&] { return life->archived.end() == Offset(612); }, 10s));
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, AManifestOfWhatHasBeenDeletedIsNotMissed) {
  begin();
  produce(300);
  settle();
  ASSERT_FALSE(record().manifest.empty());
  auto first = record().shards.front().base;
  end();
  world.objects().erase(keys("manifest").front());
  for (auto start : {first, first + 2}) {
    begin();
    ASSERT_TRUE(run(world, machine(), life->log->set_log_start(start)));
    produce(3);
    settle();
    EXPECT_EQ(record().manifest, "");
    expect_all_readable(start);
    end();
  }
  begin();
}

TEST_F(ArchiverTest, AnArchiveThatLacksTheShardsIsNotTheOneThatLostAManifest) {
  begin();
  produce(300);
  settle();
  end();
  auto known = record().manifest;
  auto all = std::exchange(world.objects(), {});
  begin();
  produce(3);
  world.run_for(5s);
  EXPECT_EQ(record().manifest, known);
  EXPECT_EQ(keys("manifest"), std::vector<std::string>{});
  world.objects() = std::move(all);
  settle();
  expect_all_readable(Offset(0));
}

TEST_F(ArchiverTest, AnOldLeaderWritesNothing) {
  begin(archived_topic(), Epoch(5));
  produce(1);
  settle();
  end();
  machine_ = &world.machine();
  begin(archived_topic(), Epoch(4));
  world.run_for(5s);
  EXPECT_EQ(record().leader_epoch, Epoch(5));
  EXPECT_GT(life->archiver_metrics.failures.value(), 0);
}

TEST_F(ArchiverTest, AccessIsCountedAcrossRestarts) {
  begin();
  produce(2);
  settle();
  archive::ColdRead read;
  read.start = Offset(0);
  read.shard = {kPartition, Offset(0), Generation(0)};
  read.from_archive = 100;
  for (int i = 0; i < 3; ++i) life->archived.note_access(read, machine().env().clock.wall());
  produce(1);
  settle();
  end();
  EXPECT_EQ(record().shards[0].descriptor().access.reads, 3);
  begin();
  world.run_for(2s);
  EXPECT_EQ(life->archived.shards()[0].access.reads, 3);
}

TEST_F(ArchiverTest, APartitionWhoseTopicIsGoneLeavesNothing) {
  begin();
  produce(300);
  settle();
  end();
  auto& env = machine().env();
  ASSERT_TRUE(run(world, machine(), remove_archived_partition(env, "forelog", kPartition, world.now() + 600s)));
  EXPECT_TRUE(world.objects().empty());
  EXPECT_FALSE(run(world, machine(), env.metadata.get(cluster::chain_path(kPartition))));
  EXPECT_TRUE(run(world, machine(), remove_archived_partition(env, "forelog", kPartition, world.now() + 600s)));
}

// A crash at any moment, then another life: everything acknowledged is archived once, nothing is left over.
class ArchiverCrash : public ArchiverTest, public testing::WithParamInterface<int> {};

TEST_P(ArchiverCrash, EveryStepMayBeTheLast) {
  auto settings = archived_topic();
  settings.local_retention = 1s;
  begin(settings);
  produce(3);
  settle();
  machine().faults().archive = {10ms, 10ms};
  produce(4);
  ASSERT_TRUE(run(world, machine(), life->log->set_log_start(Offset(3))));
  life->archiver->wake();
  world.run_for(GetParam() * 4ms);
  crash();
  begin(settings, Epoch(2));
  EXPECT_EQ(life->log->end(), Offset(14));
  settle();
  world.run_for(20s);
  EXPECT_EQ(keys(), expected_keys());
  EXPECT_EQ(life->log->log_start(), Offset(3));
  EXPECT_EQ(life->archived.start(), Offset(2));
  EXPECT_EQ(record().shards.size(), 6U);
  EXPECT_EQ(life->log->local_start(), Offset(14));
  expect_all_readable(Offset(3));
}

INSTANTIATE_TEST_SUITE_P(Moments, ArchiverCrash, testing::Range(0, 60));

}  // namespace
}  // namespace forelog::replication
