#include "broker/replication/partition.h"

#include "broker/archive/archive_source.h"
#include "broker/log/batch_builder.h"
#include "broker/log/recovery.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using test::run;

const PartitionKey kPartition{TopicId{{9}}, PartitionId{0}};

// What a partition needs of its core.
struct Core {
  explicit Core(env::Env& e)
      : env(e),
        wal(env, {.directory = "wal", .file_size = 1_MiB, .size_max = 64_MiB}, registry),
        catalog(env.local),
        tails(16_MiB),
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

cluster::TopicViewPtr topic() {
  cluster::TopicView view;
  view.name = TopicName("orders");
  view.id = kPartition.topic;
  view.settings = std::make_shared<const log::TopicSettings>();
  return std::make_shared<const cluster::TopicView>(std::move(view));
}

Task<Result<Appended>> append(Partition& partition) {
  log::BatchBuilder builder;
  builder.add(1000, "key", "value");
  co_return partition.append(std::move(builder).build(), {});
}

// Opens the partition as a leader of `epoch`, appends one record and closes it again.
Task<Result<void>> live(Core& core, Epoch epoch) {
  auto partition = CO_TRY(co_await Partition::open(core.context, topic(), kPartition, epoch));
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

}  // namespace
}  // namespace forelog::replication
