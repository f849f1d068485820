// life.h: a partition with its archiver in one life of a simulated broker.
#pragma once

#include "broker/archive/archive_source.h"
#include "broker/archive/shard_object.h"
#include "broker/log/batch_builder.h"
#include "broker/log/recovery.h"
#include "broker/replication/archiver.h"
#include "tests/support/run_task.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace forelog::replication::test {

inline const PartitionKey kPartition{TopicId{{9}}, PartitionId{3}};

inline std::string value_of(std::int64_t offset) { return std::string(700, static_cast<char>('a' + offset % 26)); }

inline Buffer batch(std::int64_t timestamp, std::int64_t offset) {
  log::BatchBuilder builder;
  builder.add(timestamp, std::nullopt, value_of(offset));
  return std::move(builder).build();
}

// What a broker has in memory: gone after a crash.
struct Life {
  Life(env::Env& e, log::TopicSettings topic_settings, CleanerSettings cleaner = {}, bool rewrites = false,
       Bytes tail_max = 16_MiB)
      : env(e),
        topic(std::move(topic_settings)),
        wal(env, {.directory = "wal", .file_size = 1_MiB, .size_max = 64_MiB}, registry),
        catalog(env.local),
        tails(tail_max),
        log_metrics(registry),
        local(env, "data"),
        context{env, wal, catalog, tails, log_metrics, local, "data"},
        footers({env.cores, env.clock, env.random, *env.archive, catalog, registry}, "forelog", 1_MiB, 2s, 200ms),
        source({env.cores, env.clock, env.random, *env.archive, footers, registry}, {}),
        cache({env.cores, env.clock, source, registry}, {}, 16_MiB),
        archiver_metrics(registry),
        compactor_metrics(registry),
        compactor_context{.env = env, .metrics = compactor_metrics, .settings = cleaner, .footers = &footers},
        archiver_context{env, &footers, &cache, archiver_metrics, {.retry_backoff_max = 2s}},
        archived(kPartition, cache, footers, env.clock) {
    if (rewrites) archiver_context.compactor = &compactor_context;
  }

  Task<void> open(Epoch epoch) {
    auto replayed = co_await log::replay_wal(env, "wal", "data");
    CHECK(replayed.has_value());
    auto started = co_await wal.start(replayed->next);
    CHECK(started.has_value());
    auto opened = co_await log::LocalLog::open(context, kPartition, topic, nullptr);
    CHECK(opened.has_value());
    log = *std::move(opened);
    archiver.emplace(archiver_context, *log, archived);
    archiver->start(epoch);
  }
  Task<void> close() {
    co_await archiver->stop();
    archiver.reset();
    co_await cache.stop();
    co_await source.stop();
    co_await footers.stop();
    (void)co_await log->close();
    co_await wal.stop(env.clock.now() + 1s);
  }
  // Shards of two records each.
  Task<void> produce(int shards) {
    co_await produce_unsealed(shards);
    auto sealed = co_await log->seal_up_to(log->end());
    CHECK(sealed.has_value());
    archiver->wake();
  }
  Task<void> produce_unsealed(int shards = 1) {
    for (int i = 0; i < shards; ++i) {
      for (int j = 0; j < 2; ++j) {
        auto offset = log->end().value();
        auto timestamp = to_ms(env.clock.wall());
        CHECK(log->append(batch(timestamp, offset), Epoch(1), env.clock.wall()).has_value());
      }
      log->cut(env.clock.wall());
    }
    auto durable = co_await log->wait_durable(log->end(), env.clock.now() + 60s);
    CHECK(durable.has_value());
  }

  env::Env& env;
  log::TopicSettings topic;
  MetricsRegistry registry;
  log::Wal wal;
  log::Catalog catalog;
  log::TailBudget tails;
  log::LogMetrics log_metrics;
  log::LocalPartitions local;
  log::LogContext context;
  archive::FooterCache footers;
  archive::ArchiveSource source;
  cache::BlockCache cache;
  ArchiverMetrics archiver_metrics;
  CompactorMetrics compactor_metrics;
  Compactor::Context compactor_context;
  Archiver::Context archiver_context;
  archive::ArchivedLog archived;
  std::unique_ptr<log::LocalLog> log;
  std::optional<Archiver> archiver;
};

}  // namespace forelog::replication::test
