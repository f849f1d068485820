#include "broker/cache/block_cache.h"

#include "broker/base/crc32c.h"
#include "tests/support/run_task.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace forelog::cache {
namespace {

constexpr ShardId kShard{{TopicId{{7}}, PartitionId{0}}, Offset{0}, Generation{0}};
constexpr LoadCause kDemand{};
constexpr LoadCause kPrefetch{.kind = LoadKind::prefetch, .plan = PlanId{5}, .tag = 77};

BlockRange blocks(std::uint32_t first, std::uint32_t count) { return {kShard, first, count}; }
BlockId block(std::uint32_t index) { return {kShard, index}; }

Buffer contents(std::uint32_t index) {
  return Buffer::take(std::string(kBlockSize, static_cast<char>('a' + index % 26)));
}

// Answers after `delay`, one block each millisecond, unless told to fail.
class Source final : public BlockSource {
 public:
  explicit Source(env::Clock& clock) : clock_(clock) {}

  Task<Result<void>> load(BlockRange range, LoadPriority priority, OnBlock on_block, Deadline deadline) override {
    loads.push_back(range);
    priorities.push_back(priority);
    ++running;
    running_max = std::max(running_max, running);
    co_await sleep_until(clock_, std::min(deadline, clock_.now() + delay));
    for (std::uint32_t i = range.first; i < range.end() && !fails; ++i) {
      ++times_loaded[i];
      on_block(i, contents(i));
      co_await sleep_until(clock_, clock_.now() + 1ms);
    }
    --running;
    if (fails) co_return fail(ErrorCode::kArchiveUnavailable, range.text());
    co_return Result<void>{};
  }

  Task<Result<BlockSums>> sums(ShardId, Deadline) override {
    auto all = std::make_shared<std::vector<std::uint32_t>>();
    for (std::uint32_t i = 0; i < 32; ++i) all->push_back(crc32c(contents(i)));
    co_await sleep_until(clock_, clock_.now() + index_delay);
    if (has_no_index) co_return fail(ErrorCode::kArchiveUnavailable, "the index");
    co_return all;
  }

  std::vector<BlockRange> loads;
  bool has_no_index = false;
  Duration index_delay{};
  std::vector<LoadPriority> priorities;
  std::map<std::uint32_t, int> times_loaded;
  Duration delay = 50ms;
  bool fails = false;
  int running = 0;
  int running_max = 0;

 private:
  env::Clock& clock_;
};

// Has the blocks it is told to, after `delay`.
class DiskStub final : public Tier {
 public:
  explicit DiskStub(env::Clock& clock) : clock_(clock) {}
  Task<void> find(BlockRange range, BlockSums sums, OnBlock on_block) override {
    co_await sleep_until(clock_, clock_.now() + delay);
    for (std::uint32_t i = range.first; i < range.end(); ++i) {
      EXPECT_EQ(sums->at(i), crc32c(contents(i)));
      if (has.contains(i)) on_block(i, contents(i));
    }
  }
  void on_use(const BlockId& id, Buffer bytes) override {
    EXPECT_EQ(bytes, contents(id.index));
    used.push_back(id.index);
  }
  Task<bool> put(BlockId, Buffer, Deadline) override { co_return false; }
  void link(const ShardId&, Generation, BlockSums) override {}
  void erase(BlockRange range) override {
    for (std::uint32_t i = range.first; i < range.end(); ++i) has.erase(i);
  }

  std::set<std::uint32_t> has;
  std::vector<std::uint32_t> used;
  Duration delay = 1ms;

 private:
  env::Clock& clock_;
};

class Outcomes final : public OutcomeSink {
 public:
  void on_outcome(const PrefetchOutcome& outcome) override {
    auto name = std::string(name_of(outcome.kind));
    if (outcome.why != RefusedWhy::none) name += ":" + std::string(name_of(outcome.why));
    blocks[name] += outcome.range.count;
    last = outcome;
  }
  std::map<std::string, std::uint32_t> blocks;
  PrefetchOutcome last;
};

class BlockCacheTest : public testing::Test {
 protected:
  void make(std::uint32_t capacity_in_blocks, CacheSettings settings = {}) {
    BlockCache::Parts parts{machine.cores(), machine.env().clock, source, registry, behind};
    cache.emplace(parts, settings, capacity_in_blocks * kBlockSize);
    cache->set_outcome_sink(&outcomes);
  }
  void TearDown() override {
    if (!cache) return;
    stop();
    EXPECT_EQ(cache->reserved(), 0) << "a reservation leaks";
    EXPECT_LE(cache->used(), cache->capacity());
  }
  void stop() { test::run(world, machine, cache->stop()); }
  LoadStart start(BlockRange range, const LoadCause& cause) {
    LoadStart result;
    machine.cores().run_as(0, [&] { result = cache->start_load(range, cause); });
    return result;
  }
  Result<Buffer> get(std::uint32_t index, Duration within = 10s) {
    return test::run(world, machine, cache->get(block(index), world.now() + within));
  }
  bool has(std::uint32_t index) const { return cache->contains(block(index)); }

  env::SimulatedWorld world{1};
  env::SimulatedMachine& machine = world.machine();
  Source source{machine.env().clock};
  DiskStub disk{machine.env().clock};
  Tier* behind = nullptr;
  MetricsRegistry registry;
  Outcomes outcomes;
  std::optional<BlockCache> cache;
};

Task<void> get_into(BlockCache& cache, BlockId id, Deadline deadline, int& done) {
  auto bytes = co_await cache.get(id, deadline);
  if (bytes && *bytes == contents(id.index)) ++done;
}

TEST_F(BlockCacheTest, ABlockIsLoadedOnceHoweverManyAsk) {
  make(16);
  int done = 0;
  for (int i = 0; i < 20; ++i) machine.cores().spawn(CoreId{0}, get_into(*cache, block(3), world.now() + 1s, done));
  ASSERT_TRUE(world.run_until([&] { return done == 20; }, 1s));
  EXPECT_EQ(source.times_loaded[3], 1);
  EXPECT_EQ(source.loads.size(), 1U);
}

TEST_F(BlockCacheTest, ALoadCompletesThoughItsAskerHasGone) {
  make(16);
  auto late = get(3, 10ms);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  world.run_for(100ms);
  EXPECT_TRUE(has(3));
  EXPECT_EQ(*get(3), contents(3));
  EXPECT_EQ(source.times_loaded[3], 1);
}

TEST_F(BlockCacheTest, DemandAsksForAMegabyteFirstAndTheRestBesideIt) {
  make(256);
  auto started = start(blocks(0, 40), kDemand);
  EXPECT_EQ(started.started, 40U);
  world.run_for(10ms);
  EXPECT_EQ(source.loads, (std::vector<BlockRange>{blocks(0, 4), blocks(4, 16), blocks(20, 16), blocks(36, 4)}));
  EXPECT_EQ(source.running, 4);
}

TEST_F(BlockCacheTest, OnlyWhatIsNeitherCachedNorOnItsWayIsLoaded) {
  make(256);
  start(blocks(2, 1), kDemand);
  world.run_for(100ms);
  start(blocks(5, 1), kDemand);
  auto started = start(blocks(0, 8), kPrefetch);
  EXPECT_EQ(started.cached, 1U);
  EXPECT_EQ(started.joined, 1U);
  EXPECT_EQ(started.started, 6U);
  world.run_for(100ms);
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(source.times_loaded[i], 1) << i;
}

TEST_F(BlockCacheTest, APrefetchReadInTimeIsUsedOnce) {
  make(64);
  start(blocks(0, 2), kPrefetch);
  world.run_for(100ms);
  EXPECT_TRUE(cache->find(block(0))->first_use);
  EXPECT_FALSE(cache->find(block(0))->first_use);
  EXPECT_EQ(outcomes.blocks, (std::map<std::string, std::uint32_t>{{"used", 1}}));
  EXPECT_EQ(outcomes.last.cause.tag, 77U);
  EXPECT_EQ(outcomes.last.in_memory - outcomes.last.started, 50ms);
}

TEST_F(BlockCacheTest, APrefetchOfWhatIsHereKeepsItThere) {
  make(20);
  EXPECT_TRUE(get(0));
  EXPECT_EQ(start(blocks(0, 1), kPrefetch).cached, 1U);
  for (std::uint32_t i = 100; i < 140; ++i) ASSERT_TRUE(get(i));
  auto hit = cache->find(block(0));
  ASSERT_TRUE(hit);
  EXPECT_LT(hit->in_memory, world.now() - 1s) << "when it came, not when it was wanted";
  EXPECT_FALSE(hit->first_use);
  EXPECT_TRUE(outcomes.blocks.empty()) << "nothing was prefetched";
}

TEST_F(BlockCacheTest, AJoinedPrefetchIsRaisedAndLate) {
  make(64);
  start(blocks(0, 2), kPrefetch);
  world.run_for(20ms);
  EXPECT_EQ(*source.priorities[0], Priority::prefetch);
  auto asked = world.now();
  EXPECT_EQ(*get(0), contents(0));
  EXPECT_EQ(*source.priorities[0], Priority::demand);
  EXPECT_EQ(outcomes.blocks, (std::map<std::string, std::uint32_t>{{"late", 1}}));
  EXPECT_EQ(outcomes.last.first_used, asked);
  EXPECT_EQ(source.times_loaded[0], 1);
}

TEST_F(BlockCacheTest, AnUnreadPrefetchThatLeavesIsUnusedAndWaste) {
  make(16);
  start(blocks(0, 2), kPrefetch);
  world.run_for(121s);
  for (std::uint32_t i = 100; i < 140; ++i) ASSERT_TRUE(get(i));
  EXPECT_EQ(outcomes.blocks["unused"], 2U);
  EXPECT_EQ(cache->metrics().waste_bytes.value(), 2 * kBlockSize);
}

TEST_F(BlockCacheTest, PrefetchesTakeNoMoreThanTheirShareAndTheirSlots) {
  make(100, {.loads_in_flight_max = 4});
  auto started = start(blocks(0, 80), kPrefetch);
  EXPECT_EQ(started.started, 40U);
  EXPECT_EQ(started.refused, 40U);
  EXPECT_EQ(started.why, RefusedWhy::slots_full);  // three of four slots: 16 + 16 + 8 blocks
  EXPECT_EQ(cache->prefetch_room(LoadKind::prefetch).loads, 0);
  world.run_for(200ms);
  EXPECT_EQ(start(blocks(40, 1), kPrefetch).why, RefusedWhy::share_full);
  EXPECT_EQ(outcomes.blocks["refused:share_full"], 1U);
  EXPECT_EQ(outcomes.blocks["refused:slots_full"], 40U);
  EXPECT_TRUE(get(90));
}

TEST_F(BlockCacheTest, AFailureReachesEveryWaiterAndIsForgottenSoon) {
  make(16);
  source.fails = true;
  auto failed = get(3);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_EQ(start(blocks(3, 1), kDemand).started, 0U);
  EXPECT_EQ(source.loads.size(), 1U);
  source.fails = false;
  world.run_for(300ms);
  EXPECT_EQ(*get(3), contents(3));
}

TEST_F(BlockCacheTest, AFailedPrefetchLeavesNoTraceForReaders) {
  make(16);
  source.fails = true;
  start(blocks(3, 1), kPrefetch);
  world.run_for(60ms);
  EXPECT_EQ(outcomes.blocks["refused:load_failed"], 1U);
  source.fails = false;
  EXPECT_EQ(*get(3), contents(3));
}

TEST_F(BlockCacheTest, MemoryIsNeverExceededWhileEverybodyGetsHisBlock) {
  make(8);
  int done = 0;
  for (std::uint32_t i = 0; i < 60; ++i) {
    machine.cores().spawn(CoreId{0}, get_into(*cache, block(i * 3), world.now() + 60s, done));
  }
  auto check = [&] {
    EXPECT_LE(cache->used() + cache->reserved(), cache->capacity());
    return done == 60;
  };
  EXPECT_TRUE(world.run_until(check, 60s));
}

// A batch over both blocks of a small cache is kept until its reader has all of it, and no longer than others can wait.
TEST_F(BlockCacheTest, WhoDoesNotComeBackForHisBlocksKeepsOthersOutForSecondsOnly) {
  make(2);
  machine.cores().run_as(0, [&] { cache->keep_together(blocks(0, 2)); });
  ASSERT_TRUE(get(0));
  ASSERT_TRUE(get(1, 1s));
  machine.cores().run_as(0, [&] { cache->keep_together(blocks(0, 2)); });
  EXPECT_TRUE(get(7, 5s));
}

// Readers that asked and went away, in a cache that one block after the other passes through only every two seconds.
TEST_F(BlockCacheTest, WhatNobodyAsksForAnyMoreKeepsNobodyWaiting) {
  make(2);
  for (std::uint32_t i = 100; i < 140; ++i) start(blocks(i, 1), kDemand);
  world.run_for(1s);
  auto asked = world.now();
  EXPECT_EQ(*get(0, 60s), contents(0));
  EXPECT_LE(world.now() - asked, 3s);
  world.run_for(5s);
  EXPECT_LE(source.loads.size(), 6U) << "loads for nobody";
  EXPECT_EQ(cache->metrics().demand_waiting.value(), 0);
  EXPECT_EQ(*get(130), contents(130)) << "who comes back later is served as anybody";
}

// The other side of it: asking again, however long it takes, keeps the place.
TEST_F(BlockCacheTest, WhoGoesOnWaitingKeepsHisPlace) {
  make(2, {.loads_in_flight_max = 1});
  source.delay = 3s;
  int done = 0;
  for (std::uint32_t i = 0; i < 6; ++i) {
    machine.cores().spawn(CoreId{0}, get_into(*cache, block(i), world.now() + 60s, done));
  }
  EXPECT_TRUE(world.run_until([&] { return done == 6; }, 60s));
  EXPECT_EQ(source.loads, (std::vector<BlockRange>{blocks(0, 1), blocks(1, 1), blocks(2, 1), blocks(3, 1), blocks(4, 1),
                                                   blocks(5, 1)}));
}

TEST_F(BlockCacheTest, WhatNobodyAsksForAnyMoreLeavesRoomInTheQueue) {
  make(2);
  source.delay = 4s;
  for (std::uint32_t i = 100; i < 100 + 1100; ++i) start(blocks(i, 1), kDemand);
  EXPECT_EQ(get(0, 10ms).error().code, ErrorCode::kOverloaded);
  world.run_for(3s);
  auto later = get(0, 60s);
  ASSERT_TRUE(later) << later.error().text();
  EXPECT_EQ(*later, contents(0));
}

TEST_F(BlockCacheTest, DemandBeyondTheSlotsWaitsItsTurn) {
  make(64, {.loads_in_flight_max = 4});
  int done = 0;
  for (std::uint32_t i = 0; i < 20; ++i) {
    machine.cores().spawn(CoreId{0}, get_into(*cache, block(i * 2), world.now() + 10s, done));
  }
  EXPECT_TRUE(world.run_until([&] { return done == 20; }, 10s));
  EXPECT_EQ(source.running_max, 4);
}

TEST_F(BlockCacheTest, SubscribersAreToldWhicheverBlockLands) {
  make(64);
  auto landed = std::make_shared<Event>(machine.env().clock);
  EXPECT_FALSE(cache->subscribe(block(0), landed));
  start(blocks(0, 1), kDemand);
  start(blocks(9, 1), kPrefetch);
  EXPECT_TRUE(cache->subscribe(block(0), landed));
  EXPECT_TRUE(cache->subscribe(block(9), landed));
  EXPECT_TRUE(test::run(world, machine, landed->wait(world.now() + 1s)));
  EXPECT_TRUE(has(0) || has(9));
}

TEST_F(BlockCacheTest, StoppingWakesWhoWaitsAndEndsSoon) {
  make(4, {.loads_in_flight_max = 4});
  source.delay = 10h;  // until the deadline of the load
  int done = 0;
  for (std::uint32_t i = 0; i < 10; ++i) {
    machine.cores().spawn(CoreId{0}, get_into(*cache, block(i), world.now() + 60s, done));
  }
  world.run_for(10ms);
  auto began = world.now();
  stop();
  EXPECT_LE(world.now() - began, CacheSettings{}.load_timeout + 1s);
  EXPECT_EQ(get(50).error().code, ErrorCode::kStopping);
}

TEST_F(BlockCacheTest, AnErasedShardIsGone) {
  make(64);
  ASSERT_TRUE(get(0));
  machine.cores().run_as(0, [&] { cache->erase(blocks(0, 4)); });
  EXPECT_FALSE(has(0));
  EXPECT_EQ(cache->used(), 0);
}

// --- behind memory, the disk
// ------------------------------------------------------------------------------------------

TEST_F(BlockCacheTest, WhatTheDiskHasIsNotAskedOfTheSource) {
  behind = &disk;
  make(64);
  disk.has = {0, 1, 2};
  start(blocks(0, 3), kDemand);
  world.run_for(10ms);
  EXPECT_TRUE(source.loads.empty());
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(cache->find(block(i))->origin, BlockOrigin::disk);
  EXPECT_EQ(cache->metrics().disk_hits.value(), 3);
}

TEST_F(BlockCacheTest, WithoutTheShardsIndexTheDiskIsNotBelieved) {
  behind = &disk;
  make(64);
  disk.has = {0};
  source.has_no_index = true;
  EXPECT_EQ(*get(0), contents(0));
  EXPECT_EQ(cache->find(block(0))->origin, BlockOrigin::archive);
}

TEST_F(BlockCacheTest, AnIndexThatIsLateIsNoFaultOfTheDisk) {
  behind = &disk;
  make(64);
  disk.has = {0};
  source.index_delay = 2s;
  EXPECT_EQ(*get(0), contents(0));
  EXPECT_EQ(cache->find(block(0))->origin, BlockOrigin::archive);
  world.run_for(3s);
  EXPECT_EQ(cache->metrics().disk_timeouts.value(), 0);
}

TEST_F(BlockCacheTest, OneRequestBringsWhatTheDiskLacks) {
  behind = &disk;
  make(64);
  disk.has = {0, 2, 7};
  start(blocks(0, 8), kPrefetch);
  world.run_for(200ms);
  EXPECT_EQ(source.loads, (std::vector<BlockRange>{blocks(1, 6)}));
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(cache->find(block(i))->bytes, contents(i));
  EXPECT_EQ(cache->find(block(2))->origin, BlockOrigin::disk);
  EXPECT_EQ(cache->find(block(3))->origin, BlockOrigin::archive);
}

TEST_F(BlockCacheTest, ADiskThatHangsDelaysALoadByAMomentOnly) {
  behind = &disk;
  make(64);
  disk.has = {3};
  disk.delay = 5s;
  auto began = world.now();
  EXPECT_EQ(*get(3), contents(3));
  EXPECT_LE(world.now() - began, 400ms);
  EXPECT_EQ(cache->find(block(3))->origin, BlockOrigin::archive);
  world.run_for(6s);  // its late answer changes nothing
  EXPECT_EQ(cache->metrics().disk_timeouts.value(), 1);
  EXPECT_EQ(cache->used(), kBlockSize);
}

TEST_F(BlockCacheTest, OnlyWhatIsUsedIsOfferedToTheDiskAndOnceALoad) {
  behind = &disk;
  make(64);
  start(blocks(0, 4), kPrefetch);
  world.run_for(200ms);
  EXPECT_TRUE(disk.used.empty());
  cache->find(block(1)), cache->find(block(1), ReaderId{5}), cache->find(block(3));
  (void)cache->peek(block(0));
  EXPECT_EQ(disk.used, (std::vector<std::uint32_t>{1, 3}));
}

TEST_F(BlockCacheTest, AnErasedShardIsErasedOnTheDiskToo) {
  behind = &disk;
  make(64);
  disk.has = {0, 1};
  machine.cores().run_as(0, [&] { cache->erase(blocks(0, 2)); });
  EXPECT_TRUE(disk.has.empty());
}

}  // namespace
}  // namespace forelog::cache
