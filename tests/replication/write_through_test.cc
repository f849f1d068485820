#include "broker/replication/write_through.h"

#include "broker/cache/disk_tier.h"
#include "tests/log/log_fixture.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using log::test::batch_of;
using log::test::partition_key;
using log::test::run;

// Nothing may be asked of the archive.
class NoSource final : public cache::BlockSource {
 public:
  Task<Result<void>> load(cache::BlockRange range, cache::LoadPriority, OnBlock, Deadline) override {
    ++loads;
    co_return fail(ErrorCode::kArchiveUnavailable, range.text());
  }
  Task<Result<cache::BlockSums>> sums(ShardId shard, Deadline) override {
    co_return fail(ErrorCode::kArchiveUnavailable, shard.text());
  }
  int loads = 0;
};

class WriteThroughTest : public log::test::StorageTest {
 protected:
  void SetUp() override {
    make_world(5);
    start();
  }
  void begin(log::WriteThroughTier mode, Bytes capacity = 16_MiB) {
    cache_settings.disk_path = "/cache";
    cache_settings.disk_free_bytes = 0;
    auto& env = machine->env();
    machine->cores().run_as(0, [&] {
      if (!disk) {
        disk.emplace(cache::DiskTier::Parts{env.cores, env.clock, env.random, env.cache_files, registry},
                     cache_settings);
        disk->start();
      }
      cache.emplace(cache::BlockCache::Parts{env.cores, env.clock, source, registry, &*disk}, cache_settings, capacity);
      context.emplace(WriteThrough::Context{
          .env = env, .cache = *cache, .disk = &*disk, .metrics = metrics, .partial_max = partial_max});
      tested.emplace(*context, mode);
    });
    world->run_until([&] { return disk->loaded(); }, 10s);
  }
  void TearDown() override {
    if (tested) {
      run_here(tested->stop());
      EXPECT_EQ(context->partial, 0) << "memory for partial blocks leaks";
      tested.reset();
      run_here(cache->stop());
      cache.reset();
      run_here(disk->stop());
      disk.reset();
    }
    stop();
  }

  // Appends as the partition does, about `bytes` of them.
  void produce(Bytes bytes, std::size_t value = 60'000) {
    for (Bytes done = 0; done < bytes; ++produced) {
      auto batch = batch_of(std::string(value + produced % 777, static_cast<char>('a' + produced % 26)));
      done += static_cast<Bytes>(batch.size());
      auto appended = append_only(batch);
      ASSERT_TRUE(appended);
      const auto& open = *log().chain().open();
      auto position = open.size - static_cast<Bytes>(batch.size());
      machine->cores().run_as(
          0, [&] { tested->on_append(log().chain().id_of(open), position, batch, appended->last + 1); });
    }
    auto durable = run_here(log().wait_durable(log().end(), world->now() + 10s));
    ASSERT_TRUE(durable);
    run_here(tested->wait_held(log().end(), world->now() + 10s));
  }
  void cut() {
    machine->cores().run_as(0, [&] { log().cut(machine->env().clock.wall()); });
  }
  ShardId seal() {
    cut();
    auto shard = log().chain().id_of(log().chain().shards().back());
    EXPECT_EQ(*run_here(log().seal_up_to(log().end())), 1);
    run_here(tested->on_sealed(log(), shard));
    world->run_for(100ms);
    return shard;
  }
  // How many blocks of the sealed shard are in memory, each compared with its file.
  std::uint32_t in_memory(const ShardId& shard) {
    auto footer = *run_here(log().footer_of(shard));
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < footer->block_count(); ++i) {
      auto bytes = cache->peek({shard, i});
      if (!bytes) continue;
      EXPECT_TRUE(log::verify_block(*footer, i, *bytes)) << "block " << i;
      ++count;
    }
    return count;
  }
  std::uint32_t on_disk(const ShardId& shard) {
    auto footer = *run_here(log().footer_of(shard));
    std::uint32_t count = 0;
    cache::Tier::OnBlock on_block = [&](std::uint32_t index, Buffer bytes) {
      EXPECT_TRUE(log::verify_block(*footer, index, bytes)) << "block " << index;
      ++count;
    };
    cache::BlockSums sums(footer, &footer->block_crcs);
    run_here(disk->find({shard, 0, footer->block_count()}, std::move(sums), std::move(on_block)));
    return count;
  }
  std::uint32_t blocks_of(const ShardId& shard) { return (*run_here(log().footer_of(shard)))->block_count(); }

  MetricsRegistry registry;
  WriteThroughMetrics metrics{registry};
  cache::CacheSettings cache_settings;
  Bytes partial_max = 1_MiB;
  NoSource source;
  std::optional<cache::DiskTier> disk;
  std::optional<cache::BlockCache> cache;
  std::optional<WriteThrough::Context> context;
  std::optional<WriteThrough> tested;
  std::size_t produced = 0;
};

TEST_F(WriteThroughTest, ASealedShardIsInMemoryToItsLastByte) {
  begin(log::WriteThroughTier::memory);
  produce(1'500'000);
  auto shard = seal();
  EXPECT_EQ(blocks_of(shard), 6U);
  EXPECT_EQ(in_memory(shard), 6U);
  EXPECT_EQ(on_disk(shard), 0U);
  EXPECT_EQ(metrics.refilled_blocks.value(), 0) << "all of it came while it was produced";
}

TEST_F(WriteThroughTest, WholeBlocksAreHeldBeforeTheAcknowledgement) {
  begin(log::WriteThroughTier::disk);
  produce(700'000);
  EXPECT_EQ(metrics.memory_blocks.value(), 2);
  EXPECT_EQ(metrics.disk_blocks.value(), 2);
  EXPECT_EQ(disk->index().blocks(), 2U);
}

TEST_F(WriteThroughTest, ShardAfterShardEachUnderItsOwnName) {
  begin(log::WriteThroughTier::disk);
  std::vector<ShardId> shards;
  for (int i = 0; i < 4; ++i) {
    produce(600'000);
    shards.push_back(seal());
  }
  for (const auto& shard : shards) {
    EXPECT_EQ(in_memory(shard), blocks_of(shard));
    EXPECT_EQ(on_disk(shard), blocks_of(shard));
  }
  EXPECT_EQ(metrics.refilled_blocks.value(), 0);
}

TEST_F(WriteThroughTest, AShardThatIsCutBeforeItIsSealedKeepsItsLastBlock) {
  begin(log::WriteThroughTier::disk);
  produce(600'000);
  auto first = log().chain().id_of(*log().chain().open());
  cut();
  produce(300'000);
  EXPECT_EQ(*run_here(log().seal_up_to(log().end())), 1);
  run_here(tested->on_sealed(log(), first));
  world->run_for(100ms);
  EXPECT_EQ(in_memory(first), 3U);
  EXPECT_EQ(on_disk(first), 3U);
  EXPECT_EQ(metrics.refilled_blocks.value(), 0);
}

TEST_F(WriteThroughTest, TruncatedBytesNeverGetAFinalName) {
  begin(log::WriteThroughTier::disk);
  produce(900'000);
  ASSERT_TRUE(run_here(log().truncate_to(Offset(2))));
  produced += 13;  // other bytes than before
  produce(900'000);
  auto shard = seal();
  EXPECT_EQ(in_memory(shard), blocks_of(shard));
  EXPECT_EQ(on_disk(shard), blocks_of(shard));
}

TEST_F(WriteThroughTest, WhatCameBeforeTheSettingIsReadOnceTheShardIsSealed) {
  begin(log::WriteThroughTier::none);
  produce(700'000);
  machine->cores().run_as(0, [&] { tested->set_mode(log::WriteThroughTier::disk); });
  produce(700'000);
  auto shard = seal();
  EXPECT_EQ(in_memory(shard), blocks_of(shard));
  EXPECT_EQ(on_disk(shard), blocks_of(shard));
  EXPECT_EQ(metrics.refilled_blocks.value(), 3);
}

TEST_F(WriteThroughTest, WithoutMemoryForPartialBlocksTheyAreReadAfterwards) {
  partial_max = 0;
  begin(log::WriteThroughTier::memory);
  produce(700'000);
  EXPECT_EQ(metrics.memory_blocks.value(), 0);
  auto shard = seal();
  EXPECT_EQ(in_memory(shard), blocks_of(shard));
  EXPECT_EQ(metrics.refilled_blocks.value(), 3);
}

TEST_F(WriteThroughTest, ADiskThatFailsDelaysNobodyAndIsCounted) {
  begin(log::WriteThroughTier::disk);
  machine->cache_faults().disk_error_rate = 1;
  auto began = world->now();
  produce(900'000);
  EXPECT_LE(world->now() - began, 3s);
  EXPECT_EQ(metrics.missed_disk_blocks.value(), 3);
  EXPECT_EQ(metrics.memory_blocks.value(), 3);
  machine->cache_faults() = {};
}

TEST_F(WriteThroughTest, ADiskThatHangsHoldsAnAcknowledgementForASecondAtMost) {
  begin(log::WriteThroughTier::disk);
  machine->cache_faults().disk = {1min, 1min};
  auto began = world->now();
  produce(300'000);
  EXPECT_LE(world->now() - began, 3s);
  EXPECT_EQ(metrics.missed_disk_blocks.value(), 1);
  machine->cache_faults() = {};
  world->run_for(10min);
}

TEST_F(WriteThroughTest, ASmallMemoryIsNeverExceeded) {
  begin(log::WriteThroughTier::memory, 4 * kBlockSize);
  produce(5'000'000);
  EXPECT_LE(cache->used(), 4 * kBlockSize);
  seal();
  EXPECT_LE(cache->used(), 4 * kBlockSize);
}

}  // namespace
}  // namespace forelog::replication
