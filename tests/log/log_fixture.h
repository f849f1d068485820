// log_fixture.h: a simulated broker's storage, from replay to close, and crashes in between.
#pragma once

#include "broker/base/byte_reader.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/env/simulated/simulated_world.h"
#include "broker/log/batch_builder.h"
#include "broker/log/local_log.h"
#include "broker/log/recovery.h"
#include "tests/support/run_task.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::log::test {

using forelog::test::run;

inline PartitionKey partition_key(int partition) {
  TopicId topic;
  topic.bytes[0] = 7;
  return {topic, PartitionId(partition)};
}

// A batch of `records` records whose values are `text`.
inline Buffer batch_of(std::string_view text, int records = 1, std::int64_t timestamp = 1000) {
  BatchBuilder builder;
  for (int i = 0; i < records; ++i) builder.add(timestamp, "key", text);
  return std::move(builder).build();
}

// Counts what it is told, and carries the count in its snapshot.
class CountingObserver final : public BatchObserver {
 public:
  void on_append(BatchView batch) override {
    records += batch.record_count();
    last = batch.last_offset();
  }
  Buffer snapshot() override {
    ByteWriter out;
    out.i64(records);
    return std::move(out).take_buffer();
  }
  Result<void> restore(ByteView snapshot) override {
    records = 0;
    if (snapshot.empty()) return {};
    ByteReader in(snapshot);
    records = in.i64();
    if (!in.ok()) return fail(ErrorCode::kCorruptFile, "not a count");
    return {};
  }
  std::int64_t records = 0;
  Offset last = kNoOffset;
};

// The storage of one broker's life. Left alone, not destroyed, when its machine crashes.
struct Storage {
  Storage(env::SimulatedMachine& m, Bytes tail_max, Bytes wal_file)
      : machine(m),
        wal(m.env(), WalSettings{"data/wal", wal_file, 8 * wal_file}, registry),
        catalog(m.env().local),
        budget(tail_max),
        metrics(registry),
        local(m.env(), "data/log"),
        context{m.env(), wal, catalog, budget, metrics, local, "data/log", 64_MiB, &failing} {}

  env::SimulatedMachine& machine;
  MetricsRegistry registry;
  Wal wal;
  Catalog catalog;
  TailBudget budget;
  LogMetrics metrics;
  LocalPartitions local;
  FailingWrites failing;
  LogContext context;
  std::map<int, CountingObserver> observers;
  std::map<int, std::unique_ptr<LocalLog>> logs;
  ReplayReport replayed;

  LocalLog& log(int partition = 0) { return *logs.at(partition); }

  static Task<Result<void>> start(Storage& self, std::map<int, TopicSettings> partitions) {
    self.replayed = CO_TRY(co_await replay_wal(self.machine.env(), "data/wal", "data/log"));
    CO_TRY(co_await self.wal.start(self.replayed.next));
    CO_TRY(co_await self.local.load(self.catalog));
    for (auto& [partition, settings] : partitions) {
      auto* observer = &self.observers[partition];
      self.logs[partition] =
          CO_TRY(co_await LocalLog::open(self.context, partition_key(partition), settings, observer));
    }
    co_return Result<void>{};
  }
  static Task<Result<void>> stop(Storage& self) {
    for (auto& [partition, log] : self.logs) CO_TRY(co_await log->close());
    self.logs.clear();
    co_await self.wal.stop(self.machine.env().clock.now() + 10s);
    co_return Result<void>{};
  }
};

class StorageTest : public testing::Test {
 protected:
  // Of shards that a few records fill.
  static TopicSettings small_shards() {
    TopicSettings settings;
    settings.segment_bytes = 1000;
    return settings;
  }
  void make_world(std::uint64_t seed) {
    set_log_level(warn);
    world = std::make_unique<env::SimulatedWorld>(seed);
    machine = &world->machine();
  }
  void start(std::map<int, TopicSettings> partitions = {{0, {}}}) {
    if (!world) make_world(1);
    settings = std::move(partitions);
    storage = std::make_unique<Storage>(*machine, tail_max, wal_file);
    auto started = run(*world, *machine, Storage::start(*storage, settings));
    ASSERT_TRUE(started.has_value()) << started.error().text();
  }
  void stop() {
    auto stopped = run(*world, *machine, Storage::stop(*storage));
    ASSERT_TRUE(stopped.has_value()) << stopped.error().text();
    storage.reset();
  }
  void crash(env::SimulatedWorld::Loss loss = env::SimulatedWorld::Loss::some) {
    world->crash(*machine, loss);
    abandoned.push_back(storage.release());  // NOLINT: its tasks never end, so it is never destroyed
    world->restart(*machine);
  }
  void restart_after_crash(env::SimulatedWorld::Loss loss = env::SimulatedWorld::Loss::some) {
    crash(loss);
    start(settings);
  }

  LocalLog& log(int partition = 0) { return storage->log(partition); }
  template <class T>
  T run_here(Task<T> task) {
    return run(*world, *machine, std::move(task));
  }
  // Appends, as the partition's core would, without waiting.
  Result<AppendResult> append_only(Buffer batch, int partition = 0, Epoch epoch = Epoch(1)) {
    return run_here(append_task(log(partition), std::move(batch), epoch, machine->env().clock.wall()));
  }
  // Appends and waits until it is durable.
  AppendResult append(Buffer batch, int partition = 0, Epoch epoch = Epoch(1)) {
    auto appended = append_only(std::move(batch), partition, epoch);
    EXPECT_TRUE(appended.has_value()) << appended.error().text();
    auto durable = run_here(log(partition).wait_durable(appended->last + 1, machine->env().clock.now() + 10s));
    EXPECT_TRUE(durable.has_value()) << durable.error().text();
    return *appended;
  }
  // The value of the first record of each batch that a reader sees from `from` on.
  std::vector<std::string> values(Offset from = Offset(0), int partition = 0, Bytes size_max = 1_MiB) {
    std::vector<std::string> out;
    while (true) {
      // Every other time as a consumer reads, whose bytes may be sent from the file.
      auto limit = log(partition).end();
      auto reading = ++reads % 2 == 0 ? log(partition).read_to_send(from, limit, size_max, true)
                                      : log(partition).read(from, limit, size_max, true);
      auto read = run_here(std::move(reading));
      EXPECT_TRUE(read.has_value()) << read.error().text();
      if (!read || read->empty()) return out;
      for (auto& slice : read->batches) slice = slice.loaded();
      auto walked = for_each_batch(read->batches, [&](BatchView batch) {
        EXPECT_TRUE(batch.crc_matches());
        auto records = *Records::open(batch, 1_MiB);
        Record record;
        EXPECT_TRUE(*records.next(record));
        out.emplace_back(as_text(*record.value));
        return true;
      });
      EXPECT_TRUE(walked.has_value());
      from = read->end;
    }
  }

  static Task<Result<AppendResult>> append_task(LocalLog& log, Buffer batch, Epoch epoch, WallTime now) {
    co_return log.append(std::move(batch), epoch, now);
  }
  static Task<void> set_task(LocalLog& log, TopicSettings to) {
    log.set_settings(std::move(to));
    co_return;
  }

  Bytes tail_max = 16_MiB;
  Bytes wal_file = 1_MiB;
  int reads = 0;
  std::unique_ptr<env::SimulatedWorld> world;
  env::SimulatedMachine* machine = nullptr;
  std::map<int, TopicSettings> settings;
  std::unique_ptr<Storage> storage;
  static inline std::vector<Storage*> abandoned;  // reachable, so that nobody calls them leaks
};

}  // namespace forelog::log::test
