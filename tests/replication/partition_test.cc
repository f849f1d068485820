#include "broker/replication/partition.h"

#include "broker/archive/archive_source.h"
#include "broker/base/log.h"
#include "broker/cluster/records.h"
#include "broker/log/batch_builder.h"
#include "broker/log/recovery.h"
#include "broker/replication/partition_table.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using test::run;

const PartitionKey kPartition{TopicId{{9}}, PartitionId{0}};

// What a partition needs of its core.
struct Core {
  explicit Core(env::Env& e, Bytes tail_max = 16_MiB)
      : env(e),
        wal(env, {.directory = "wal", .file_size = 1_MiB, .size_max = 64_MiB}, registry),
        catalog(env.local),
        tails(tail_max),
        log_metrics(registry),
        local(env, "data"),
        log{env, wal, catalog, tails, log_metrics, local, "data"},
        footers({env.cores, env.clock, env.random, *env.archive, catalog, registry}, "forelog", 1_MiB, 2s, 200ms),
        source({env.cores, env.clock, env.random, *env.archive, footers, registry}, {}),
        cache({env.cores, env.clock, source, registry}, {}, 16_MiB),
        archiver_metrics(registry),
        archiver{env, &footers, &cache, archiver_metrics, {}},
        write_through_metrics(registry),
        write_through{env, cache, nullptr, write_through_metrics, 1_MiB},
        producers(registry, 1000, 10000),
        context{env, BrokerId(0), log, cache, footers, archiver, write_through, "forelog", producers} {}

  Task<void> start() {
    auto replayed = co_await log::replay_wal(env, "wal", "data");
    CHECK(replayed.has_value());
    auto started = co_await wal.start(replayed->next);
    CHECK(started.has_value());
  }
  Task<void> stop() {
    co_await cache.stop();
    co_await source.stop();
    co_await footers.stop();
    co_await wal.stop(env.clock.now() + 1s);
  }

  env::Env& env;
  MetricsRegistry registry;
  log::Wal wal;
  log::Catalog catalog;
  log::TailBudget tails;
  log::LogMetrics log_metrics;
  log::LocalPartitions local;
  log::LogContext log;
  archive::FooterCache footers;
  archive::ArchiveSource source;
  cache::BlockCache cache;
  ArchiverMetrics archiver_metrics;
  Archiver::Context archiver;
  WriteThroughMetrics write_through_metrics;
  WriteThrough::Context write_through;
  ProducerBudget producers;
  PartitionContext context;
};

cluster::TopicViewPtr topic(PartitionKey key, log::TopicSettings settings = {}) {
  cluster::TopicView view;
  view.name = TopicName("orders");
  view.id = key.topic;
  view.settings = std::make_shared<const log::TopicSettings>(std::move(settings));
  return std::make_shared<const cluster::TopicView>(std::move(view));
}

Task<Result<Appended>> append(Partition& partition, std::int64_t timestamp = 1000, std::size_t value_size = 5) {
  log::BatchBuilder builder;
  builder.add(timestamp, "key", std::string(value_size, 'v'));
  co_return partition.append(std::move(builder).build(), {});
}

Task<Result<Appended>> append_records(Partition& partition, std::vector<std::int64_t> timestamps) {
  log::BatchBuilder builder;
  for (auto timestamp : timestamps) builder.add(timestamp, "key", "value");
  co_return partition.append(std::move(builder).build(), {});
}

// Opens the partition as a leader of `epoch`, appends one record and closes it again.
Task<Result<void>> live(Core& core, Epoch epoch, PartitionKey key = kPartition) {
  auto partition = CO_TRY(co_await Partition::open(core.context, topic(key), key, epoch));
  auto appended = co_await append(*partition);
  co_await partition->close();
  if (!appended) co_return fail(appended.error());
  co_return Result<void>{};
}

// Metadata restored from an old backup, beside a newer log: to append would break the log's own order of epochs.
TEST(Partition, ALogNewerThanItsMetadataStaysClosedAndSaysWhy) {
  env::SimulatedWorld world(5);
  auto& machine = world.machine();
  Core core(machine.env());
  run(world, machine, core.start());
  EXPECT_TRUE(run(world, machine, live(core, Epoch(7))).has_value());
  auto older = run(world, machine, live(core, Epoch(3)));
  ASSERT_FALSE(older.has_value());
  EXPECT_EQ(older.error().code, ErrorCode::kCorruptFile);
  EXPECT_NE(older.error().context.find("leader epoch 7"), std::string::npos) << older.error().context;
  EXPECT_TRUE(run(world, machine, live(core, Epoch(8))).has_value()) << "with the right metadata it opens again";
  run(world, machine, core.stop());
}

Task<void> tick(Partition& partition, env::Clock& clock) {
  partition.tick(clock.now(), clock.wall());
  co_return;
}

// Every batch is a shard, and goes to the archive as soon as it has ended.
log::TopicSettings archived_batch_by_batch() {
  log::TopicSettings settings;
  settings.remote_storage = true;
  settings.segment_bytes = 14;
  settings.local_retention_bytes = 0;
  settings.retention = -1ms;
  return settings;
}

// Of a look-up that begins while nothing has left the disk yet, and ends when the shard is only in the archive.
TEST(Partition, ALookUpByTimeFollowsAShardThatGoesToTheArchive) {
  set_log_level(warn);
  auto settings = archived_batch_by_batch();
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    env::SimulatedWorld world(seed);
    auto& machine = world.machine();
    Core core(machine.env(), 64_KiB);  // memory has little of it
    run(world, machine, core.start());
    auto opened = run(world, machine, Partition::open(core.context, topic(kPartition, settings), kPartition, Epoch(1)));
    auto& partition = **opened;
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(run(world, machine, append(partition, 1000 + i, 10'000)).has_value());
      EXPECT_TRUE(world.run_until([&] { return partition.high_watermark() == Offset(i + 1); }, 10s));
    }
    run(world, machine, tick(partition, machine.env().clock));
    auto deadline = world.now() + 600s;
    for (int i = 0; partition.local_start() == Offset(0) && world.now() < deadline; ++i) {
      auto wanted = i % 3;  // a log has footers of two shards in memory, and one file open
      auto found = run(world, machine, partition.find_by_time(1000 + wanted));
      EXPECT_EQ(found ? found->offset.value() : -1, wanted)
          << "seed " << seed << ": " << (found ? "" : found.error().text());
      world.run_for(10us);
    }
    EXPECT_GT(partition.local_start(), Offset(0));
    run(world, machine, partition.close());
    run(world, machine, core.stop());
  }
}

// Of a look-up that finds a record in the archive that is deleted before the look-up ends.
TEST(Partition, ALookUpByTimeBeginsAgainWhereTheLogDoes) {
  set_log_level(warn);
  auto settings = archived_batch_by_batch();
  env::SimulatedWorld world(7);
  auto& machine = world.machine();
  Core core(machine.env());
  run(world, machine, core.start());
  auto opened = run(world, machine, Partition::open(core.context, topic(kPartition, settings), kPartition, Epoch(1)));
  auto& partition = **opened;
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(run(world, machine, append(partition, 1000 + i)).has_value());
    EXPECT_TRUE(world.run_until([&] { return partition.high_watermark() == Offset(i + 1); }, 10s));
  }
  run(world, machine, tick(partition, machine.env().clock));
  ASSERT_TRUE(world.run_until([&] { return partition.local_start() == Offset(19); }, 600s));
  auto found = std::make_shared<std::optional<Result<OffsetAnswer>>>();
  machine.cores().spawn(CoreId(0), test::detail::keep_result(found, partition.find_by_time(1000)));
  ASSERT_TRUE(run(world, machine, partition.delete_records(Offset(10))));
  ASSERT_FALSE(found->has_value()) << "the test is too slow";
  ASSERT_TRUE(world.run_until([&] { return found->has_value(); }, 60s));
  ASSERT_TRUE(**found) << (**found).error().text();
  EXPECT_EQ((**found)->offset, Offset(10));
  run(world, machine, partition.close());
  run(world, machine, core.stop());
}

// The record that makes a shard the newest may have been deleted: then the newest one lies elsewhere, also in the
// archive.
TEST(Partition, TheNewestRecordIsFoundInTheArchiveWhenANewerOneWasDeleted) {
  set_log_level(warn);
  auto settings = archived_batch_by_batch();
  env::SimulatedWorld world(7);
  auto& machine = world.machine();
  Core core(machine.env());
  run(world, machine, core.start());
  auto opened = run(world, machine, Partition::open(core.context, topic(kPartition, settings), kPartition, Epoch(1)));
  auto& partition = **opened;
  std::int64_t end = 0;
  for (std::vector<std::int64_t> times : {std::vector<std::int64_t>{9000, 2000}, {1000}, {3000, 7000, 7000}, {1000}}) {
    EXPECT_TRUE(run(world, machine, append_records(partition, times)).has_value());
    end += static_cast<std::int64_t>(times.size());
    EXPECT_TRUE(world.run_until([&] { return partition.high_watermark() == Offset(end); }, 10s));
  }
  run(world, machine, tick(partition, machine.env().clock));
  ASSERT_TRUE(world.run_until([&] { return partition.local_start() == Offset(6); }, 600s));
  auto newest = [&] {
    auto found = run(world, machine, partition.find_max_timestamp());
    return found ? std::to_string(found->offset.value()) + " of time " + std::to_string(found->timestamp)
                 : found.error().text();
  };
  EXPECT_EQ(newest(), "0 of time 9000");
  ASSERT_TRUE(run(world, machine, partition.delete_records(Offset(1))));
  EXPECT_EQ(newest(), "4 of time 7000");
  ASSERT_TRUE(run(world, machine, partition.delete_records(Offset(5))));
  EXPECT_EQ(newest(), "5 of time 7000");
  ASSERT_TRUE(run(world, machine, partition.delete_records(Offset(6))));
  EXPECT_EQ(newest(), "6 of time 1000");
  run(world, machine, partition.close());
  run(world, machine, core.stop());
}

TEST(Partition, AShardThatCannotBeSealedIsOneLineInTheLog) {
  set_log_level(warn);
  int lines = 0;
  set_log_sink([&](LogLevel, std::string_view line) { lines += line.find("seal_failed") != line.npos ? 1 : 0; });
  log::TopicSettings settings;
  settings.segment_bytes = 14;
  settings.retention = -1ms;
  env::SimulatedWorld world(7);
  auto& machine = world.machine();
  Core core(machine.env());
  run(world, machine, core.start());
  auto opened = run(world, machine, Partition::open(core.context, topic(kPartition, settings), kPartition, Epoch(1)));
  auto& partition = **opened;
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(run(world, machine, append(partition)).has_value());
  EXPECT_TRUE(world.run_until([&] { return partition.high_watermark() == Offset(2); }, 10s));
  auto fail_and_mend = [&] {
    machine.faults().disk_read_only = true;
    for (int i = 0; i < 10; ++i) {
      run(world, machine, tick(partition, machine.env().clock));
      world.run_for(1s);
    }
    machine.faults() = {};
    run(world, machine, tick(partition, machine.env().clock));
    world.run_for(1s);
  };
  fail_and_mend();
  EXPECT_EQ(lines, 1);
  EXPECT_EQ(partition.chain().shards().front().state, log::ShardState::sealed);
  EXPECT_TRUE(run(world, machine, append(partition)).has_value());
  EXPECT_TRUE(world.run_until([&] { return partition.high_watermark() == Offset(3); }, 10s));
  fail_and_mend();
  EXPECT_EQ(lines, 2) << "it is told again when it had worked";
  set_log_sink({});
  run(world, machine, partition.close());
  run(world, machine, core.stop());
}

env::Path directory_of(PartitionKey key) { return log::partition_directory("data", key); }

Task<bool> has_files(Core& core, PartitionKey key) {
  auto names = co_await core.env.files.list(directory_of(key));
  CHECK(names || names.error().code == ErrorCode::kNotFound);
  co_return names.has_value();
}

cluster::TopicView topic_without_leader(const std::string& name, PartitionKey key, bool deleting) {
  cluster::TopicView view;
  view.name = TopicName(name);
  view.id = key.topic;
  view.deleting = deleting;
  cluster::PartitionView partition;
  partition.id = key.partition;
  partition.replicas = {BrokerId(0)};
  view.partitions.push_back(std::move(partition));
  return view;
}

Task<Result<void>> make_topics(env::MetadataStore& store, std::vector<std::string> names) {
  std::vector<env::MetadataOp> ops{env::MetadataOp::create("/brokers", ""),
                                   env::MetadataOp::create(cluster::paths::kTopics, "")};
  for (const auto& name : names) ops.push_back(env::MetadataOp::create(cluster::paths::topic(TopicName(name)), "{}"));
  co_return co_await store.commit(std::move(ops));
}

// A broker went down after a topic had been marked for deletion, before it had removed the topic's files. It is back
// while the topic is still there, marked. It will never open the topic's partitions, so nothing but the start removes
// what they left.
TEST(PartitionTable, AStartRemovesTheFilesOfATopicThatIsBeingDeleted) {
  env::SimulatedWorld world(6);
  auto& machine = world.machine();
  const PartitionKey kept{TopicId{{7}}, PartitionId{0}};
  {
    Core before(machine.env());
    run(world, machine, before.start());
    ASSERT_TRUE(run(world, machine, live(before, Epoch(1))).has_value());
    ASSERT_TRUE(run(world, machine, live(before, Epoch(1), kept)).has_value());
    run(world, machine, before.stop());
  }
  Core core(machine.env());
  run(world, machine, core.start());
  ASSERT_TRUE(run(world, machine, has_files(core, kPartition)));
  ASSERT_TRUE(run(world, machine, make_topics(machine.env().metadata, {"orders", "kept"})).has_value());
  cluster::ClusterViewBuilder view;
  view.topic(topic_without_leader("orders", kPartition, true)).topic(topic_without_leader("kept", kept, false));
  auto is_mine = [](const PartitionKey&) { return true; };
  PartitionTable table({core.context, core.registry, is_mine, prefetch::PrefetchMode::off});
  run(world, machine, table.start(std::move(view).build()));
  world.run_for(1min);
  EXPECT_FALSE(run(world, machine, has_files(core, kPartition)));
  EXPECT_TRUE(run(world, machine, has_files(core, kept))) << "only who is being deleted goes";
  run(world, machine, table.stop());
  run(world, machine, core.stop());
}

cluster::ClusterViewPtr led_view(PartitionKey key) {
  auto view = topic_without_leader("orders", key, false);
  view.partitions.front().leader = BrokerId(0);
  view.partitions.front().leader_epoch = Epoch(2);
  cluster::ClusterViewBuilder builder;
  builder.topic(std::move(view));
  return std::move(builder).build();
}

Task<void> follow(PartitionTable& table, cluster::ClusterViewPtr view) {
  table.follow(std::move(view));
  co_return;
}

cluster::ClusterViewPtr deleting_view(PartitionKey key) {
  cluster::ClusterViewBuilder builder;
  builder.topic(topic_without_leader("orders", key, true));
  return std::move(builder).build();
}

// Here for its metadata, which are older than the log. Deleting the topic is what an operator does then.
TEST(PartitionTable, APartitionThatCannotBeOpenedGoesWithItsTopic) {
  for (bool while_opening : {false, true}) {
    env::SimulatedWorld world(6);
    auto& machine = world.machine();
    {
      Core before(machine.env());
      run(world, machine, before.start());
      ASSERT_TRUE(run(world, machine, live(before, Epoch(7))).has_value());
      run(world, machine, before.stop());
    }
    Core core(machine.env());
    run(world, machine, core.start());
    ASSERT_TRUE(run(world, machine, make_topics(machine.env().metadata, {"orders"})).has_value());
    auto is_mine = [](const PartitionKey&) { return true; };
    PartitionTable table({core.context, core.registry, is_mine, prefetch::PrefetchMode::off});
    cluster::ClusterViewBuilder empty;
    run(world, machine, table.start(while_opening ? std::move(empty).build() : led_view(kPartition)));
    if (while_opening) run(world, machine, follow(table, led_view(kPartition)));
    EXPECT_EQ(table.find(kPartition), nullptr);
    run(world, machine, follow(table, deleting_view(kPartition)));
    world.run_for(1min);
    EXPECT_FALSE(run(world, machine, has_files(core, kPartition))) << "while_opening=" << while_opening;
    run(world, machine, table.stop());
    run(world, machine, core.stop());
  }
}

// A table over a disk on which a topic's partition has one record, and a metadata store that knows the topic.
struct PartitionTableOfOneTopic : testing::Test {
  void SetUp() override {
    {
      Core before(machine.env());
      run(world, machine, before.start());
      ASSERT_TRUE(run(world, machine, live(before, Epoch(1))).has_value());
      run(world, machine, before.stop());
    }
    run(world, machine, core.start());
    ASSERT_TRUE(run(world, machine, make_topics(machine.env().metadata, {"orders"})).has_value());
  }
  void TearDown() override {
    run(world, machine, table.stop());
    run(world, machine, core.stop());
  }

  env::SimulatedWorld world{6};
  env::SimulatedMachine& machine = world.machine();
  Core core{machine.env()};
  PartitionTable table{
      {core.context, core.registry, [](const PartitionKey&) { return true; }, prefetch::PrefetchMode::off}};
};

// A topic whose record cannot be read is not in the view, and when that is mended it is there again.
TEST_F(PartitionTableOfOneTopic, ATopicThatIsBackAfterAMomentKeepsItsRecords) {
  run(world, machine, table.start(led_view(kPartition)));
  ASSERT_NE(table.find(kPartition), nullptr);
  for (auto away : {1s, 9s, 30s}) {
    run(world, machine, follow(table, cluster::ClusterViewBuilder().build()));
    world.run_for(away);
    EXPECT_EQ(table.find(kPartition), nullptr);
    run(world, machine, follow(table, led_view(kPartition)));
    world.run_for(30s);
    auto partition = table.find(kPartition);
    ASSERT_NE(partition, nullptr);
    EXPECT_EQ(partition->high_watermark(), Offset(1));
    EXPECT_TRUE(run(world, machine, has_files(core, kPartition)));
  }
}

Task<Result<PartitionTable::PlacePtr>> line_up(PartitionTable& table, PartitionKey key, std::string& said, char what) {
  co_return table.line_up(key, [&said, what](const PartitionTable::PartitionPtr&) { said += what; });
}

// Requests that follow each other on a connection are appended in their order, whatever each of them finds.
TEST_F(PartitionTableOfOneTopic, WhoLinesUpForAPartitionComesBeforeAnybodyWhoFindsIt) {
  run(world, machine, table.start(cluster::ClusterViewBuilder().build()));

  std::string said;
  auto too_early = run(world, machine, line_up(table, kPartition, said, 'x'));
  ASSERT_FALSE(too_early.has_value());
  EXPECT_EQ(too_early.error().code, ErrorCode::kUnknownTopicOrPartition);

  run(world, machine, follow(table, led_view(kPartition)));
  auto first = run(world, machine, line_up(table, kPartition, said, '1'));
  auto gives_up = run(world, machine, line_up(table, kPartition, said, 'x'));
  auto last = run(world, machine, line_up(table, kPartition, said, '2'));
  ASSERT_TRUE(first && gives_up && last);
  auto timed_out = run(world, machine, table.wait_in_line(*gives_up, world.now()));
  ASSERT_FALSE(timed_out.has_value());
  EXPECT_EQ(timed_out.error().code, ErrorCode::kTimeout);
  EXPECT_EQ(said, "");
  ASSERT_TRUE(world.run_until([&] { return table.find(kPartition) != nullptr; }, 10s));
  EXPECT_EQ(said, "12") << "before anything else runs";
  EXPECT_TRUE(run(world, machine, table.wait_in_line(*first, world.now())).has_value());
  EXPECT_TRUE(run(world, machine, table.wait_in_line(*last, world.now())).has_value());
}

}  // namespace
}  // namespace forelog::replication
