// archived_partition.h: a partition whose shards lie in a simulated archive, and what reads it.
#pragma once

#include "broker/archive/archive_source.h"
#include "broker/archive/archived_log.h"
#include "broker/log/batch_builder.h"
#include "tests/support/run_task.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::archive::test {

using forelog::test::run;

inline const PartitionKey kPartition{TopicId{{1, 2, 3}}, PartitionId{4}};

// Bytes that differ everywhere, so that a wrong offset shows.
inline std::string value_of(std::int64_t offset, std::size_t size) {
  std::string value(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    value[i] = static_cast<char>((static_cast<std::size_t>(offset) * 31 + i * 7) % 251);
  return value;
}

struct ShardPlan {
  int batches = 1;
  std::size_t batch_size = 1000;  // about
  Epoch epoch{0};
  std::size_t then_batch_size = 0;  // of one batch more at the end, if not 0
};

// One record a batch; the record at offset o has timestamp 1000 + 10·o.
class ArchivedPartition {
 public:
  ArchivedPartition(env::SimulatedObjects& objects, std::vector<ShardPlan> plans) {
    Offset next{0};
    for (const auto& plan : plans) {
      ShardId id{kPartition, next, Generation{0}};
      log::FooterBuilder builder(id);
      std::string data;
      auto batches_here = plan.batches + (plan.then_batch_size > 0 ? 1 : 0);
      for (int i = 0; i < batches_here; ++i, ++next) {
        log::BatchBuilder batch(next);
        auto value = value_of(next.value(), i < plan.batches ? plan.batch_size : plan.then_batch_size);
        batch.add(1000 + 10 * next.value(), std::nullopt, value);
        std::string bytes(std::move(batch).build().text());
        MutableByteView view{reinterpret_cast<std::byte*>(bytes.data()), bytes.size()};  // NOLINT: bytes of a string
        log::set_leader_epoch(view, plan.epoch);
        builder.add(*log::BatchView::parse(as_bytes(bytes)));
        data += bytes;
        batches.push_back(std::move(bytes));
      }
      auto footer = builder.finish({});
      log::ShardDescriptor shard;
      shard.base = id.base;
      shard.end = next;
      shard.state = log::ShardState::archived;
      shard.local = false;
      shard.archived = true;
      shard.size = footer.size;
      shard.footer_size = static_cast<Bytes>(footer.encode().size());
      shard.first_timestamp = footer.first_timestamp;
      shard.max_timestamp = footer.max_timestamp;
      shard.epochs = footer.epochs;
      shards.push_back(shard);
      objects[object_key("forelog", id)] = Buffer::take(data + std::string(footer.encode().text()));
      footers.push_back(std::move(footer));
    }
  }
  Offset end() const { return shards.back().end; }
  ShardId id(std::size_t i) const { return {kPartition, shards[i].base, Generation{0}}; }
  std::string key(std::size_t i) const { return object_key("forelog", id(i)); }
  // Batches [from, to) as one run of bytes.
  std::string bytes(std::size_t from, std::size_t to) const {
    std::string out;
    for (auto i = from; i < to; ++i) out += batches[i];
    return out;
  }

  std::vector<std::string> batches;  // by offset
  std::vector<log::ShardDescriptor> shards;
  std::vector<log::Footer> footers;
};

// Everything between a partition and the archive, on one simulated core.
class ArchiveTest : public testing::Test {
 protected:
  void make(std::vector<ShardPlan> plans, std::uint32_t cache_blocks = 64, cache::CacheSettings cache_settings = {}) {
    partition.emplace(world.objects(), std::move(plans));
    auto& env = machine.env();
    FooterCache::Parts footer_parts{env.cores, env.clock, env.random, *env.archive, catalog, registry};
    footers.emplace(footer_parts, "forelog", 1_MiB, 2s, 200ms);
    ArchiveSource::Parts source_parts{env.cores, env.clock, env.random, *env.archive, *footers, registry};
    source.emplace(source_parts, ArchiveSettings{});
    cache::BlockCache::Parts cache_parts{env.cores, env.clock, *source, registry};
    cache.emplace(cache_parts, cache_settings, cache_blocks * kBlockSize);
    log.emplace(kPartition, *cache, *footers, env.clock);
    log->set_shards(partition->shards);
  }
  void TearDown() override {
    if (!cache) return;
    run(world, machine, cache->stop());
    run(world, machine, source->stop());
    run(world, machine, footers->stop());
    EXPECT_EQ(cache->reserved(), 0) << "a reservation leaks";
    EXPECT_LE(cache->used(), cache->capacity());
  }

  env::SimulatedWorld world{7};
  env::SimulatedMachine& machine = world.machine();
  log::Catalog catalog{machine.env().local};
  MetricsRegistry registry;
  std::optional<ArchivedPartition> partition;
  std::optional<FooterCache> footers;
  std::optional<ArchiveSource> source;
  std::optional<cache::BlockCache> cache;
  std::optional<ArchivedLog> log;
};

}  // namespace forelog::archive::test
