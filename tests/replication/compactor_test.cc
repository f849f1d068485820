// Shards are rewritten while records come, and the broker crashes in the middle of it: what a reader sees stays right.
#include "broker/replication/compactor.h"

#include "broker/base/log.h"
#include "tests/replication/life.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using forelog::test::run;
using namespace test;

struct Written {
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const Written&, const Written&) = default;
};
using Contents = std::map<std::int64_t, Written>;  // by offset

// What a reader gets who begins at the start of the log and reads to its end.
Task<Contents> read_all(Life& life, Deadline deadline) {
  Contents out;
  auto landed = std::make_shared<Event>(life.env.clock);
  auto at = life.log->log_start();
  auto visit = [&](log::BatchView batch) {
    CHECK(batch.crc_matches());
    auto records = log::Records::open(batch, 1_MiB);
    CHECK(records.has_value());
    for (log::Record record; *records->next(record);) {
      Written written{std::string(as_text(*record.key)), std::nullopt};
      if (record.value) written.value = std::string(as_text(*record.value));
      CHECK(out.emplace(record.offset.value(), std::move(written)).second, "an offset comes once");
    }
    return true;
  };
  while (at < life.log->end()) {
    CHECK(life.env.clock.now() < deadline, "reading hangs");
    Slices batches;
    auto before = at;
    if (at >= life.log->local_start()) {
      auto read = co_await life.log->read(at, life.log->end(), 3000, true);
      CHECK(read.has_value(), "a local record cannot be read");
      batches = std::move(read->batches);
      at = read->end;
      CHECK(at > before, "the log's end is never reached");
    } else {
      auto read = life.archived.try_read(
          {.from = at, .limit = life.log->end(), .size_max = 3000, .at_least_one_batch = true}, landed);
      if (!read) {
        co_await sleep_until(life.env.clock, life.env.clock.now() + 300ms);
        continue;
      }
      batches = std::move(read->batches);
      at = read->end;
      if (read->waiting && at == before) co_await landed->wait(life.env.clock.now() + 1s);
    }
    CHECK(log::for_each_batch(batches, visit).has_value());
  }
  co_return out;
}

class CompactorTest : public testing::Test {
 protected:
  void make_world(std::uint64_t seed) {
    set_log_level(error);
    world = std::make_unique<env::SimulatedWorld>(seed);
    machine = &world->machine();
    random.seed(static_cast<std::uint32_t>(seed));
  }
  void seal_all() { run(*world, *machine, seal_task(*life)); }
  static Task<void> seal_task(Life& life) {
    life.log->cut(life.env.clock.wall());
    auto sealed = co_await life.log->seal_up_to(life.log->end());
    CHECK(sealed.has_value());
    life.archiver->wake();
  }
  void begin() {
    // Little memory, so that most is read from the disk.
    life = std::make_shared<Life>(machine->env(), topic, cleaner, true, 64_KiB);
    run(*world, *machine, life->open(++epoch));
  }
  void end() {
    run(*world, *machine, life->close());
    life.reset();
  }
  void restart() {
    end();
    begin();
  }
  void crash() {
    world->crash(*machine);
    env::abandon(std::exchange(life, nullptr));
    world->restart(*machine);
    // What was not durable has gone, but nothing that was waited for.
  }
  void TearDown() override {
    if (life) end();
  }

  // Shards of batches of records with keys out of `keys`; one in five is a tombstone.
  void produce(int shards, int batches, int keys) { run(*world, *machine, produce_task(shards, batches, keys)); }
  Task<void> produce_task(int shards, int batches, int keys) {
    for (int i = 0; i < shards; ++i) {
      for (int j = 0; j < batches; ++j) {
        log::BatchBuilder builder;
        builder.codec(random() % 3 == 0 ? log::Codec::zstd : log::Codec::none);
        auto count = 1 + random() % 4;
        std::vector<Written> records;
        for (std::uint32_t r = 0; r < count; ++r) {
          Written record{"key-" + std::to_string(random() % static_cast<unsigned>(keys)), std::nullopt};
          if (random() % 5 != 0) record.value = "value " + std::to_string(random());
          records.push_back(record);
        }
        for (const auto& record : records) builder.add(to_ms(life->env.clock.wall()), record.key, record.value);
        auto appended = life->log->append(std::move(builder).build(), epoch, life->env.clock.wall());
        CHECK(appended.has_value());
        for (std::size_t r = 0; r < records.size(); ++r) {
          written[appended->base.value() + static_cast<std::int64_t>(r)] = records[r];
        }
      }
      auto durable = co_await life->log->wait_durable(life->log->end(), life->env.clock.now() + 60s);
      CHECK(durable.has_value());
      life->log->cut(life->env.clock.wall());
    }
    auto sealed = co_await life->log->seal_up_to(life->log->end());
    CHECK(sealed.has_value());
    life->archiver->wake();
  }

  Contents read() { return run(*world, *machine, read_all(*life, world->now() + 600s)); }

  static std::map<std::string, std::string> table_of(const Contents& contents) {
    std::map<std::string, std::string> out;
    for (const auto& [offset, record] : contents) {
      if (record.value) {
        out[record.key] = *record.value;
      } else {
        out.erase(record.key);
      }
    }
    return out;
  }
  // Records stand where they were written, as they were written, and lead to the same table of keys.
  void expect_sound(const Contents& seen) {
    for (const auto& [offset, record] : seen) {
      ASSERT_TRUE(written.contains(offset)) << offset;
      EXPECT_EQ(record, written[offset]) << offset;
    }
    auto start = life->log->log_start().value();
    Contents since(written.lower_bound(start), written.end());
    EXPECT_EQ(table_of(seen), table_of(since));
  }
  bool is_compacted() {
    return !log::decide_compaction(life->log->chain(), life->log->settings(), life->log->log_start(),
                                   life->log->compacted_end(), life->env.clock.wall());
  }
  void settle() {
    ASSERT_TRUE(world->run_until([&] { return is_compacted() && !life->compactor_context.busy; }, 600s));
  }
  std::vector<std::string> files() {
    auto names = run(*world, *machine, machine->env().files.list(log::partition_directory("data", kPartition)));
    return *names;
  }
  void expect_no_leftovers() {
    std::vector<std::string> wanted;
    std::set<std::string> objects;
    for (const auto& shard : life->log->chain().shards()) {
      ShardId id{kPartition, shard.base, shard.generation};
      auto path = log::segment_path("data", id);
      if (shard.local) wanted.push_back(path.substr(path.rfind('/') + 1));
      if (shard.archived) objects.insert(archive::object_key("forelog", id));
    }
    std::sort(wanted.begin(), wanted.end());
    EXPECT_EQ(files(), wanted);
    std::set<std::string> there;
    for (const auto& [key, bytes] : world->objects()) {
      if (key.find("manifest") == std::string::npos) there.insert(key);
    }
    EXPECT_EQ(there, objects);
  }
  int highest_generation() {
    int out = 0;
    for (const auto& shard : life->log->chain().shards()) out = std::max(out, shard.generation.value());
    return out;
  }
  void set_topic(log::TopicSettings to) {
    topic = std::move(to);
    run(*world, *machine, set_task(*life, topic));
  }
  static Task<void> set_task(Life& life, log::TopicSettings to) {
    life.log->set_settings(std::move(to));
    life.archiver->wake();
    co_return;
  }

  log::TopicSettings topic = compacted();
  CleanerSettings cleaner{.backoff = 1s, .merge_count = 0};
  std::unique_ptr<env::SimulatedWorld> world;
  env::SimulatedMachine* machine = nullptr;
  std::shared_ptr<Life> life;
  Epoch epoch{0};
  Contents written;
  std::mt19937 random;

  static log::TopicSettings compacted() {
    log::TopicSettings settings;
    settings.cleanup_policy = {"compact"};
    settings.segment_bytes = 200'000;
    settings.delete_retention = 60s;
    settings.min_cleanable_dirty_ratio = 0.3;
    return settings;
  }
  static log::TopicSettings archived_topic() {
    log::TopicSettings settings;
    settings.remote_storage = true;
    settings.retention = -1ms;
    settings.local_retention_bytes = 0;
    settings.segment_bytes = 20'000;
    settings.file_delete_delay = 10s;
    return settings;
  }
};

TEST_F(CompactorTest, EveryKeyKeepsItsNewestRecordAndNothingElseStays) {
  make_world(1);
  begin();
  produce(10, 20, 7);
  auto before = life->log->chain().end();
  settle();
  EXPECT_EQ(life->compactor_metrics.passes.value(), 1);
  EXPECT_GT(life->compactor_metrics.records_removed.value(), 300);
  restart();  // memory still has what was appended last
  auto seen = read();
  expect_sound(seen);
  EXPECT_LE(seen.size(), 7U);
  EXPECT_EQ(life->log->chain().end(), before) << "offsets stay";
  EXPECT_EQ(life->log->chain().shards().size(), 1U) << "what has become small becomes one shard";
  EXPECT_GE(highest_generation(), 1);
  expect_no_leftovers();
}

TEST_F(CompactorTest, TombstonesGoAfterTheirTime) {
  make_world(2);
  begin();
  for (int round = 0; round < 4; ++round) {
    produce(3, 20, 5);
    settle();
    world->run_for(120s);
  }
  set_topic([&] {
    auto to = topic;
    to.min_cleanable_dirty_ratio = 0;
    return to;
  }());
  produce(1, 1, 1);
  settle();
  restart();
  auto seen = read();
  expect_sound(seen);
  int tombstones = 0;
  for (const auto& [offset, record] : seen) tombstones += record.value ? 0 : 1;
  EXPECT_LE(tombstones, 1) << "only one of the last batch has a time to wait";
}

TEST_F(CompactorTest, AReaderOfALookUpByTimeAndOfEachOffsetFindsWhatComesNext) {
  make_world(3);
  begin();
  produce(10, 20, 7);
  settle();
  restart();
  auto seen = read();
  for (std::int64_t offset = 0; offset < life->log->end().value(); offset += 3) {
    auto got = run(*world, *machine, life->log->read(Offset(offset), life->log->end(), 1, true));
    ASSERT_TRUE(got) << got.error().text();
    ASSERT_FALSE(got->empty()) << offset;
    EXPECT_GT(got->end, Offset(offset));
    auto next = seen.lower_bound(offset);
    if (next != seen.end()) EXPECT_LE(got->start.value(), next->first);
  }
  auto first = run(*world, *machine, life->log->find_by_time(0, life->log->end()));
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->offset.value(), seen.begin()->first);
  auto newest = run(*world, *machine, life->log->max_timestamp(life->log->end()));
  ASSERT_TRUE(newest);
  EXPECT_TRUE(seen.contains(newest->offset.value()));
}

TEST_F(CompactorTest, AReadThatIsSentFindsWhatComesBehindAHole) {
  make_world(3);
  topic.segment_bytes = 8_MiB;
  begin();
  // Of every ten batches one stays, and each is large enough for an entry of its own in the index.
  auto append = [&](Life& of) -> Task<void> {
    for (int i = 0; i < 80; ++i) {
      log::BatchBuilder builder;
      auto key = i % 10 == 5 ? "stays-" + std::to_string(i) : std::string("often");
      builder.add(to_ms(of.env.clock.wall()), key, std::string(20'000, static_cast<char>('a' + i % 26)));
      CHECK(of.log->append(std::move(builder).build(), epoch, of.env.clock.wall()).has_value());
      auto durable = co_await of.log->wait_durable(of.log->end(), of.env.clock.now() + 60s);
      CHECK(durable.has_value());
      co_await sleep_until(of.env.clock, of.env.clock.now() + 10ms);  // the tail holds little: it is written first
    }
  };
  run(*world, *machine, append(*life));
  seal_all();
  produce(1, 1, 1);
  settle();
  restart();
  ASSERT_LT(life->log->chain().shards().front().size, 500'000) << "compacted";
  for (auto size_max : {Bytes{1}, 50_KiB, 1_MiB}) {
    for (auto at = Offset(0); at < Offset(80); at = at + 1) {
      auto got = run(*world, *machine, life->log->read_to_send(at, life->log->end(), size_max, true));
      ASSERT_TRUE(got) << got.error().text();
      ASSERT_FALSE(got->empty()) << at.value();
      EXPECT_GT(got->end, at);
    }
  }
}

TEST_F(CompactorTest, ARecordLargerThanTheMapsMemoryCompactsInParts) {
  make_world(4);
  begin();
  life->compactor_context.dedupe_memory = 16 * 24;  // twelve keys
  produce(6, 30, 100);
  settle();
  expect_sound(read());
  EXPECT_GT(life->compactor_metrics.passes.value(), 3);
  EXPECT_EQ(life->compactor_metrics.failures.value(), 0);
}

TEST_F(CompactorTest, WithoutCleanerNothingIsRewritten) {
  make_world(5);
  cleaner.enable = false;
  begin();
  produce(5, 20, 3);
  world->run_for(60s);
  EXPECT_EQ(highest_generation(), 0);
}

TEST_F(CompactorTest, ACompactedTopicStaysOnTheDisk) {
  make_world(6);
  topic.remote_storage = true;
  begin();
  produce(5, 20, 3);
  world->run_for(60s);
  EXPECT_TRUE(world->objects().begin() == world->objects().end());
}

TEST_F(CompactorTest, DeletionBesideARewriteLosesNothing) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    make_world(seed);
    written.clear();
    epoch = Epoch(0);
    begin();
    produce(8, 20, 6);
    auto delay = Duration(static_cast<std::int64_t>(random() % 30) * 1ms);
    world->run_for(delay);
    auto start = Offset(static_cast<std::int64_t>(random()) % life->log->end().value());
    ASSERT_TRUE(run(*world, *machine, life->log->set_log_start(start)));
    settle();
    auto seen = read();
    for (const auto& [offset, record] : seen) EXPECT_EQ(record, written[offset]);
    // What lies before the start of the log may be seen with a batch that reaches over it, as everywhere.
    std::erase_if(seen, [&](const auto& entry) { return entry.first < start.value(); });
    expect_sound(seen);
    expect_no_leftovers();
    end();
  }
}

TEST_F(CompactorTest, ACrashAtAnyMomentLeavesTheOldShardsOrTheNew) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    make_world(seed);
    written.clear();
    epoch = Epoch(0);
    begin();
    for (int round = 0; round < 3; ++round) {
      produce(4 + static_cast<int>(random() % 4), 10, 8);
      world->run_for(Duration(static_cast<std::int64_t>(random() % 40'000) * 1us));
      crash();
      begin();
      expect_sound(read());
      if (HasFailure()) FAIL() << "seed " << seed;
    }
    settle();
    expect_sound(read());
    expect_no_leftovers();
    EXPECT_GE(highest_generation(), 1);
    if (HasFailure()) FAIL() << "seed " << seed;
    end();
  }
}

TEST_F(CompactorTest, AFullOrFailingDiskDelaysItAndHarmsNothing) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    make_world(seed);
    written.clear();
    epoch = Epoch(0);
    begin();
    produce(8, 20, 6);
    machine->faults().disk_error_rate = 0.2;
    world->run_for(20s);
    machine->faults().disk_error_rate = 0;
    settle();
    expect_sound(read());
    end();
    begin();
    expect_sound(read());
    expect_no_leftovers();
    if (HasFailure()) FAIL() << "seed " << seed;
    end();
  }
}

// --- archived --------------------------------------------------------------------------------------------------------

TEST_F(CompactorTest, ArchivedShardsAreCompactedWhereTheyLie) {
  make_world(7);
  topic = archived_topic();
  begin();
  produce(10, 20, 7);
  ASSERT_TRUE(world->run_until([&] { return life->log->local_start() == life->log->end(); }, 600s));
  auto to = compacted();
  to.file_delete_delay = 10s;
  set_topic(to);
  settle();
  restart();
  auto seen = read();
  expect_sound(seen);
  EXPECT_LE(seen.size(), 7U);
  EXPECT_GE(highest_generation(), 1);
  world->run_for(60s);
  expect_no_leftovers();
}

TEST_F(CompactorTest, SmallArchivedShardsBecomeOneAndOldObjectsWaitForTheirReaders) {
  make_world(8);
  topic = archived_topic();
  cleaner.merge_count = 4;
  begin();
  produce(3, 2, 1000);
  ASSERT_TRUE(world->run_until([&] { return life->log->local_start() == life->log->end(); }, 600s));
  produce(3, 2, 1000);
  ASSERT_TRUE(world->run_until([&] { return highest_generation() > 0 && !life->compactor_context.busy; }, 600s));
  auto objects = std::distance(world->objects().begin(), world->objects().end());
  EXPECT_GE(objects, 5) << "those that were merged are still there";
  EXPECT_EQ(read(), written);
  world->run_for(60s);
  expect_no_leftovers();
  EXPECT_EQ(read(), written);
  end();
  begin();
  EXPECT_EQ(read(), written);
  EXPECT_LE(life->log->chain().shards().size(), 3U);
}

TEST_F(CompactorTest, ACrashBetweenAnyTwoStepsOfAMergeInTheArchiveIsRepaired) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    make_world(seed);
    written.clear();
    epoch = Epoch(0);
    topic = archived_topic();
    cleaner.merge_count = 3;
    begin();
    machine->faults().archive_failure_rate = seed % 3 == 0 ? 0.2 : 0;
    machine->faults().metadata_failure_rate = seed % 3 == 1 ? 0.1 : 0;
    for (int round = 0; round < 3; ++round) {
      produce(3 + static_cast<int>(random() % 3), 2, 1000);
      world->run_for(Duration(static_cast<std::int64_t>(random() % 3'000) * 1ms));
      crash();
      begin();
    }
    machine->faults().archive_failure_rate = 0;
    machine->faults().metadata_failure_rate = 0;
    seal_all();
    ASSERT_TRUE(world->run_until([&] { return life->log->local_start() == life->log->end(); }, 600s));
    world->run_for(120s);
    EXPECT_EQ(read(), written);
    EXPECT_GE(highest_generation(), 1);
    end();
    begin();
    world->run_for(60s);
    EXPECT_EQ(read(), written);
    expect_no_leftovers();
    if (HasFailure()) FAIL() << "seed " << seed;
    end();
  }
}

// One object of several, as a merge makes it, in archive and chain record; the crash came before the catalog had it.
Task<void> plant_merge(env::Env& env, env::SimulatedObjects& objects, std::vector<log::ShardDescriptor> shards) {
  ShardId id{kPartition, shards.front().base, Generation{1}};
  log::FooterBuilder builder(id);
  std::string data;
  for (const auto& shard : shards) {
    auto object = objects[archive::object_key("forelog", {kPartition, shard.base, shard.generation})];
    auto batches = object.slice(0, static_cast<std::size_t>(shard.size));
    auto added = log::for_each_batch({batches}, [&](log::BatchView batch) { return builder.add(batch), true; });
    CHECK(added.has_value());
    data += batches.text();
  }
  auto footer = builder.finish({});
  auto encoded = footer.encode();
  auto merged = shards.front();
  merged.generation = id.generation;
  merged.end = shards.back().end;
  merged.size = footer.size;
  merged.footer_size = static_cast<Bytes>(encoded.size());
  objects[archive::object_key("forelog", id)] = Buffer::take(data + std::string(encoded.text()));
  auto znode = co_await env.metadata.get(cluster::chain_path(kPartition));
  auto record = cluster::decode_chain_record(kPartition, znode->data);
  record->shards = {cluster::ChainShard::of(merged)};
  record->generation = id.generation;
  std::vector<env::MetadataOp> ops{
      env::MetadataOp::set(cluster::chain_path(kPartition), cluster::encode_chain_record(*record), znode->version)};
  CHECK((co_await env.metadata.commit(std::move(ops))).has_value());
}

TEST_F(CompactorTest, AMergeThatTheCatalogLacksIsAdoptedThoughItsFirstShardIsDeletedMeanwhile) {
  make_world(11);
  topic = archived_topic();
  begin();
  produce(3, 2, 1000);
  auto all_archived = [&] { return life->log->local_start() == life->log->end(); };
  ASSERT_TRUE(world->run_until(all_archived, 600s));
  auto shards = life->log->chain().shards();
  std::erase_if(shards, [](const auto& shard) { return !shard.archived; });
  ASSERT_EQ(shards.size(), 3U);
  end();
  run(*world, *machine, plant_merge(machine->env(), world->objects(), shards));
  machine->faults().archive_failure_rate = 1;  // the chain is read as soon as the archive answers
  begin();
  ASSERT_TRUE(run(*world, *machine, life->log->set_log_start(shards[1].base)));
  world->run_for(5s);
  machine->faults().archive_failure_rate = 0;
  produce(2, 2, 1000);
  EXPECT_TRUE(world->run_until(all_archived, 600s)) << "archiving goes on";
  written.erase(written.begin(), written.lower_bound(shards[1].base.value()));
  EXPECT_EQ(read(), written);
  world->run_for(60s);
  expect_no_leftovers();
}

TEST_F(CompactorTest, SmallLocalShardsBecomeOne) {
  make_world(9);
  topic = archived_topic();
  topic.remote_storage = false;
  cleaner.merge_count = 4;
  begin();
  produce(6, 2, 1000);
  ASSERT_TRUE(world->run_until([&] { return highest_generation() > 0 && !life->compactor_context.busy; }, 600s));
  EXPECT_EQ(read(), written);
  EXPECT_LE(life->log->chain().shards().size(), 2U);
  expect_no_leftovers();
  EXPECT_EQ(life->compactor_metrics.merges.value(), 1);
}

}  // namespace
}  // namespace forelog::replication
