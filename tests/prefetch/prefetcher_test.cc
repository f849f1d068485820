#include "broker/prefetch/prefetcher.h"

#include "broker/prefetch/access_records.h"
#include "tests/support/run_task.h"

#include <map>

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

// A partition's archived log: records of 1 KiB, shards of 64 MiB.
constexpr std::int64_t kOffsetsPerBlock = kBlockSize / 1_KiB;
constexpr std::int64_t kOffsetsPerShard = 64_MiB / 1_KiB;
constexpr std::int64_t kFetch = 1_MiB / 1_KiB;

PartitionKey partition(int n = 0) { return {TopicId{{1}}, PartitionId{n}}; }
OffsetRange offsets(std::int64_t from, std::int64_t to) { return {Offset{from}, Offset{to}}; }

class Shards final : public ShardMap {
 public:
  std::optional<PartitionBounds> bounds(const PartitionKey& key) const override {
    auto found = known.find(key);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<Owner> owner(const PartitionKey&) const override { return Owner{BrokerId{2}, "other:9192"}; }
  Task<Result<std::vector<Extent>>> resolve(PartitionKey key, OffsetRange range, Bytes bytes_max) override {
    ++resolved;
    std::vector<Extent> out;
    auto at = range.from.value();
    while (at < range.to.value() && bytes_max > 0) {
      auto base = at / kOffsetsPerShard * kOffsetsPerShard;
      auto end = std::min(range.to.value(), base + kOffsetsPerShard);
      auto first = (at - base) / kOffsetsPerBlock, last = (end - 1 - base) / kOffsetsPerBlock;
      out.push_back({{key, Offset{base}, Generation{0}},
                     static_cast<std::uint32_t>(first),
                     static_cast<std::uint32_t>(last - first + 1)});
      bytes_max -= (last - first + 1) * kBlockSize;
      at = end;
    }
    co_return out;
  }
  Task<Result<OffsetRange>> offsets_at(PartitionKey, TimeRange times) override {
    co_return offsets(to_ms(times.from), std::numeric_limits<std::int64_t>::max());
  }
  std::map<PartitionKey, PartitionBounds> known;
  int resolved = 0;
};

// Answers whole extents after 50 ms.
class Source final : public cache::BlockSource {
 public:
  explicit Source(env::Clock& clock) : clock_(clock) {}
  Task<Result<void>> load(cache::BlockRange range, cache::LoadPriority, OnBlock on_block, Deadline) override {
    loads.push_back(range);
    co_await sleep_until(clock_, clock_.now() + 50ms);
    for (auto i = range.first; i < range.end(); ++i) on_block(i, block_);
    co_return Result<void>{};
  }
  Task<Result<cache::BlockSums>> sums(ShardId shard, Deadline) override {
    co_return fail(ErrorCode::kNotFound, shard.text());
  }
  std::vector<cache::BlockRange> loads;

 private:
  env::Clock& clock_;
  Buffer block_ = Buffer::take(std::string(kBlockSize, 'x'));
};

class PrefetcherTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 16; ++i)
      shards.known[partition(i)] = {Offset{0}, Offset{4_GiB / 1_KiB}, Offset{4_GiB / 1_KiB}, PrefetchMode::predict};
  }
  void make(PrefetchSettings settings = {}, Bytes memory = 512_MiB) {
    cache::BlockCache::Parts cache_parts{machine.cores(), machine.env().clock, source, registry};
    cache.emplace(cache_parts, cache::CacheSettings{}, memory);
    prefetcher.emplace(Prefetcher::Parts{machine.cores(), *cache, shards, feed, registry}, settings, memory * 2 / 5);
    cache->set_outcome_sink(&*prefetcher);
    on_core([this] { prefetcher->start(); });
  }
  void set_mode(PrefetchMode mode) {
    for (auto& [key, bounds] : shards.known) bounds.mode = mode;
  }
  void TearDown() override {
    if (!prefetcher) return;
    test::run(world, machine, stop());
    EXPECT_EQ(cache->reserved(), 0);
  }
  Task<void> stop() {
    co_await prefetcher->stop();
    co_await cache->stop();
  }
  Task<void> call(std::function<void()> what) {
    what();
    co_return;
  }
  void on_core(std::function<void()> what) { test::run(world, machine, call(std::move(what))); }

  static BlockId block_at(const PartitionKey& key, std::int64_t offset) {
    auto base = offset / kOffsetsPerShard * kOffsetsPerShard;
    return {{key, Offset{base}, Generation{0}}, static_cast<std::uint32_t>((offset - base) / kOffsetsPerBlock)};
  }
  // Reads as a consumer does: waits for each missing block, then takes `drain` for what it got.
  Task<void> consume(ClientPtr who, PartitionKey key, std::int64_t from, std::int64_t to, Duration drain) {
    auto& clock = machine.env().clock;
    for (auto at = from; at < to; at += kFetch) {
      AccessEvent event;
      event.client = who;
      event.partition = key;
      event.topic = "orders";
      event.asked = event.first = Offset{at};
      event.last = Offset{at + kFetch - 1};
      auto began = clock.now();
      auto reader = prefetcher->reader_at(who, key, "orders", Offset{at});
      bool missing = false;
      for (auto offset = at; offset < at + kFetch && !missing; offset += kOffsetsPerBlock)
        missing = !cache->contains(block_at(key, offset));
      auto first = block_at(key, at);
      if (missing) cache->start_load({first.shard, first.index, kFetch / kOffsetsPerBlock}, {.reader = reader});
      for (auto offset = at; offset < at + kFetch; offset += kOffsetsPerBlock) {
        auto id = block_at(key, offset);
        if (auto hit = cache->find(id, reader)) {
          event.bytes.memory += kBlockSize;
          if (hit->cause.is_prefetch()) event.plan = hit->cause.plan;
          continue;
        }
        event.bytes.archive += kBlockSize;
        event.wait_cause = cache->in_flight(id) ? WaitCause::joined : WaitCause::archive;
        while (!cache->find(id, reader)) {
          auto landed = std::make_shared<Event>(clock);
          cache->start_load({id.shard, id.index, 1}, {.reader = reader});
          if (cache->subscribe(id, landed)) co_await landed->wait(kForever);
        }
      }
      event.wait = clock.now() - began;
      event.shard = first.shard;
      event.first_block = static_cast<std::int32_t>(first.index);
      event.last_block = event.first_block + static_cast<std::int32_t>(kFetch / kOffsetsPerBlock) - 1;
      waits.push_back(event.wait);
      prefetcher->on_access(event);
      co_await sleep_until(clock, clock.now() + drain);
    }
  }
  void read(std::int64_t from, std::int64_t to, int of = 0, ClientPtr who = client(1), Duration drain = 3ms) {
    test::run(world, machine, consume(std::move(who), partition(of), from, to, drain));
  }
  static ClientPtr client(std::int64_t connection) {
    auto out = std::make_shared<ClientInfo>();
    out->connection = ConnectionId{connection};
    out->client_id = "consumer-billing-1";
    out->principal = "User:ann";
    return out;
  }
  Plan plan(std::uint64_t id, PlanBody body, Reason reason = Reason::stream) {
    Plan out;
    out.id = PlanId{id};
    out.body = std::move(body);
    out.score = 0.9;
    out.byte_budget = 100_MiB;
    out.reason = reason;
    out.model_version = "m1";
    out.received = machine.env().clock.now();
    out.expires = out.received + 60s;
    return out;
  }
  Plan warm(std::uint64_t id, OffsetRange range, int of = 0, Reason reason = Reason::stream) {
    return plan(id, WarmPlan{{{partition(of), range, 0.9, 1}}, machine.env().clock.now() + 1s}, reason);
  }
  PlanAnswer offer(Plan p) {
    PlanAnswer answer;
    on_core([&] { answer = prefetcher->offer(std::move(p)); });
    return answer;
  }
  std::vector<thrift::OutcomeRecord> outcomes() {
    std::vector<thrift::OutcomeRecord> out;
    for (const auto& entry : feed.drain(1'000'000)) {
      auto record = decode_access_record(as_bytes(entry.value));
      if (record && record->body.__isset.outcome) out.push_back(record->body.outcome);
    }
    return out;
  }
  Duration worst_wait() const { return *std::ranges::max_element(waits); }

  env::SimulatedWorld world{1};
  env::SimulatedMachine& machine = world.machine();
  MetricsRegistry registry;
  Shards shards;
  Source source{machine.env().clock};
  AccessFeed feed{machine.env().clock, registry, {BrokerId{1}, "here:9192", 7, CoreId{0}, {}}, AccessLogSettings{}};
  std::optional<cache::BlockCache> cache;
  std::optional<Prefetcher> prefetcher;
  std::vector<Duration> waits;
};

// --- read-ahead ------------------------------------------------------------------------------------------------------

TEST_F(PrefetcherTest, ASequentialReaderOfTheArchiveSoonWaitsNoMore) {
  make();
  set_mode(PrefetchMode::read_ahead);
  auto began = world.now();
  read(0, 1_GiB / 1_KiB);
  auto took = to_seconds(world.now() - began), warm = 1024 * 0.003;
  EXPECT_LE(took, 2 * warm) << "half of warm speed or better";
  waits.erase(waits.begin(), waits.begin() + 100);
  EXPECT_LE(std::ranges::count_if(waits, [](auto w) { return w > 1ms; }), 2);
  EXPECT_LE(source.loads.size(), 320U) << "extents, not blocks: 256 GETs a GiB, and a few while the window opens";
}

TEST_F(PrefetcherTest, ARandomReaderCausesNoPrefetches) {
  make();
  for (std::int64_t at : {50, 3, 91, 20, 77, 8, 64, 33, 2, 99, 41}) read(at * 10 * kFetch, at * 10 * kFetch + kFetch);
  EXPECT_EQ(prefetcher->metrics().requests.value(), 0);
}

TEST_F(PrefetcherTest, SwitchedOffNothingIsPrefetchedButReadsAreRecorded) {
  make();
  set_mode(PrefetchMode::off);
  read(0, 50 * kFetch);
  on_core([&] {
    GroupEvent event;
    event.group = GroupId{"billing"};
    event.offsets = {{partition(), Offset{500'000}, -1}};
    prefetcher->on_group_event(event);
  });
  world.run_for(1s);
  EXPECT_EQ(offer(warm(1, offsets(0, 100))).refusal, Refusal::disabled);
  EXPECT_EQ(prefetcher->metrics().requests.value(), 0);
  EXPECT_EQ(feed.drain().size(), 51U) << "fifty accesses, one reader";
}

TEST_F(PrefetcherTest, BytesASecondAreAHardBudget) {
  PrefetchSettings settings;
  settings.bytes_per_second = 20_MiB;
  make(settings);
  auto began = world.now();
  read(0, 200 * kFetch);
  auto seconds = to_seconds(world.now() - began);
  EXPECT_GT(prefetcher->metrics().requested_bytes.value(), 0);
  EXPECT_LE(static_cast<double>(prefetcher->metrics().requested_bytes.value()),
            20_MiB * (seconds + 0.25) + kExtentSizeMax);
}

TEST_F(PrefetcherTest, RequestsASecondAreAHardBudget) {
  PrefetchSettings settings;
  settings.requests_per_second = 4;
  make(settings);
  auto began = world.now();
  read(0, 200 * kFetch);
  EXPECT_LE(static_cast<double>(prefetcher->metrics().requests.value()),
            4 * (to_seconds(world.now() - began) + 0.25) + 1);
}

TEST_F(PrefetcherTest, BytesOnTheirWayAreBounded) {
  PrefetchSettings settings;
  settings.in_flight_max = 8_MiB;
  make(settings);
  EXPECT_TRUE(offer(warm(1, offsets(0, 90 * kFetch))).accepted());
  world.run_for(20ms);
  EXPECT_EQ(source.loads.size(), 2U);
  world.run_for(10s);
  EXPECT_GE(source.loads.size(), 22U) << "the rest follows as loads land";
}

TEST_F(PrefetcherTest, WhatADisconnectedReaderAloneWantedIsDropped) {
  PrefetchSettings settings;
  settings.bytes_per_second = 1;  // so that all waits
  make(settings);
  read(0, 8 * kFetch);
  world.run_for(10ms);
  on_core([&] { prefetcher->on_disconnect(ConnectionId{1}); });
  feed.drain();
  world.run_for(1s);
  EXPECT_LE(source.loads.size(), 9U) << "eight misses, and one extent that overdrew the bucket";
}

TEST_F(PrefetcherTest, WhatItsOnlyReaderHasPassedMakesRoomBeforeWhatOthersRead) {
  make({}, 64_MiB);
  set_mode(PrefetchMode::off);
  read(0, 24 * kFetch, 3, client(1));
  read(0, 24 * kFetch, 3, client(2));
  read(0, 300 * kFetch, 0, client(4));
  waits.clear();
  read(0, 24 * kFetch, 3, client(5));
  EXPECT_EQ(worst_wait(), 0ms) << "a scan leaves nothing behind it";
}

TEST_F(PrefetcherTest, TheBlockAReaderStandsInStays) {
  make({}, 16_MiB);
  set_mode(PrefetchMode::off);
  read(0, 4 * kFetch, 0, client(1));
  read(0, 64 * kFetch, 1, client(2));
  auto last = block_at(partition(1), 64 * kFetch - 1);
  EXPECT_TRUE(cache->contains(last));
  EXPECT_FALSE(cache->contains(block_at(partition(1), 0)));
}

TEST_F(PrefetcherTest, WhatWasLoadedForAReaderThatJumpedAwayMakesRoom) {
  make({}, 64_MiB);
  set_mode(PrefetchMode::read_ahead);
  read(0, 40 * kFetch);
  world.run_for(500ms);
  auto room = cache->prefetch_room(cache::LoadKind::prefetch).bytes;
  EXPECT_LT(room, 24_MiB) << "its window";
  read(2000 * kFetch, 2001 * kFetch);
  EXPECT_GT(cache->prefetch_room(cache::LoadKind::prefetch).bytes, room);
  EXPECT_EQ(cache->prefetch_room(cache::LoadKind::prefetch).bytes, 64_MiB * 2 / 5);
}

// --- plans -----------------------------------------------------------------------------------------------------------

TEST_F(PrefetcherTest, AWarmPlanHasTheFirstFetchInMemory) {
  make();
  EXPECT_TRUE(offer(warm(9, offsets(1000 * kFetch, 1004 * kFetch))).accepted());
  world.run_for(500ms);
  read(1000 * kFetch, 1004 * kFetch);
  EXPECT_EQ(worst_wait(), 0ms);
  auto ended = outcomes();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].plan_id, 9);
  EXPECT_EQ(ended[0].outcome, thrift::OutcomeKind::USED);
  EXPECT_EQ(ended[0].reason, thrift::Reason::STREAM);
  EXPECT_EQ(ended[0].used_bytes, 4_MiB);
  EXPECT_EQ(ended[0].model_version, "m1");
  EXPECT_LE(ended[0].received_us, ended[0].started_us);
  EXPECT_LT(ended[0].started_us, ended[0].in_memory_us);
  EXPECT_LE(ended[0].in_memory_us, ended[0].first_used_us);
  EXPECT_NE(ended[0].reader, 0) << "who used it first";
}

// What an earlier read left behind is about to go: a plan that took it for warm would find it gone.
TEST_F(PrefetcherTest, WhatAPlanNamesAndIsHereAlreadyStaysUntilItIsRead) {
  make({}, 64_MiB);
  read(1000 * kFetch, 1004 * kFetch, 1);
  EXPECT_TRUE(offer(warm(9, offsets(1000 * kFetch, 1004 * kFetch), 1)).accepted());
  world.run_for(100ms);
  auto loads = source.loads.size();
  read(0, 200 * kFetch, 2);  // more than the cache holds
  waits.clear();
  read(1000 * kFetch, 1004 * kFetch, 1);
  EXPECT_EQ(worst_wait(), 0ms);
  for (auto i = loads; i < source.loads.size(); ++i) EXPECT_NE(source.loads[i].shard.partition, partition(1));
}

TEST_F(PrefetcherTest, WhatIsWantedLaterLeavesRoomToWhatIsWantedSooner) {
  make({}, 64_MiB);  // 25.6 MiB for what is not read yet
  auto now = machine.env().clock.now();
  offer(plan(1, WarmPlan{{{partition(1), offsets(0, 60 * kFetch), 0.9, 1}}, now + 4s}));
  world.run_for(1s);
  auto for_later = source.loads.size();
  EXPECT_GE(for_later, 2U);
  EXPECT_LE(for_later, 4U) << "half of the room, in extents of 4 MiB";
  offer(plan(2, WarmPlan{{{partition(2), offsets(0, 8 * kFetch), 0.9, 1}}, machine.env().clock.now() + 100ms}));
  world.run_for(200ms);
  waits.clear();
  read(0, 8 * kFetch, 2);
  EXPECT_EQ(worst_wait(), 0ms);
  world.run_for(3s);
  EXPECT_GE(source.loads.size(), for_later + 2 + 2) << "its time has come closer";
}

TEST_F(PrefetcherTest, APlanThatCameLateIsJoinedAndSaysSo) {
  make();
  offer(warm(9, offsets(1000 * kFetch, 1001 * kFetch)));
  world.run_for(20ms);
  read(1000 * kFetch, 1001 * kFetch);
  EXPECT_LT(worst_wait(), 45ms);
  auto ended = outcomes();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].outcome, thrift::OutcomeKind::LATE);
  EXPECT_GT(ended[0].late_us, 0);
  EXPECT_NE(ended[0].reader, 0) << "who waited for it";
  EXPECT_EQ(source.loads.size(), 1U) << "one load for both";
}

TEST_F(PrefetcherTest, AChainWarmsWhatFollowsItsTrigger) {
  make();
  auto far = offsets(2000 * kFetch, 2001 * kFetch);
  offer(plan(9, ChainPlan{{}, partition(), offsets(0, kFetch), {{{partition(3), far, 0.9, 1}, 10ms}}, 1}));
  read(0, kFetch);
  world.run_for(200ms);
  waits.clear();
  read(2000 * kFetch, 2001 * kFetch, 3);
  EXPECT_EQ(worst_wait(), 0ms);
}

// A batch is given whole: whoever asks for its last record touches its first one too.
TEST_F(PrefetcherTest, AChainFiresWhenTheBatchBeginsInItsTriggerThoughTheReadBeganBehindIt) {
  make();
  auto far = offsets(2000 * kFetch, 2001 * kFetch);
  offer(plan(9, ChainPlan{{}, partition(), offsets(0, 16), {{{partition(3), far, 0.9, 1}, 10ms}}, 1}));
  on_core([&] {
    AccessEvent event;
    event.client = client(1);
    event.partition = partition();
    event.asked = Offset{18};
    event.first = Offset{0};
    event.last = Offset{26};
    prefetcher->on_access(event);
  });
  world.run_for(200ms);
  read(2000 * kFetch, 2001 * kFetch, 3);
  EXPECT_EQ(worst_wait(), 0ms);
}

TEST_F(PrefetcherTest, AFollowPlanStartsWithTheFirstRead) {
  make();
  offer(plan(9, FollowPlan{{}, partition(), 32_MiB, Offset{500 * kFetch}}));
  read(100 * kFetch, 110 * kFetch, 0, client(1), 60ms);
  waits.erase(waits.begin());
  EXPECT_EQ(worst_wait(), 0ms) << "only the first fetch waited";
}

TEST_F(PrefetcherTest, AScheduledHeadIsKeptThroughAReplayThatFillsTheCache) {
  make({}, 64_MiB);
  auto wall = machine.env().clock.wall();
  auto heads = offsets(3000 * kFetch, 3002 * kFetch);
  SchedulePlan session{{{partition(5), heads, 0.9, 1}}, wall + 10s, 1s, wall + 60s};
  EXPECT_TRUE(offer(plan(9, session)).accepted());
  world.run_for(6s);
  read(0, 512 * kFetch);
  waits.clear();
  read(3000 * kFetch, 3002 * kFetch, 5);
  EXPECT_EQ(worst_wait(), 0ms);
}

TEST_F(PrefetcherTest, NoMoreThanAPlansBudgetIsLoadedForIt) {
  make();
  auto p = warm(9, offsets(0, 100 * kFetch));
  p.byte_budget = 10_MiB;
  offer(std::move(p));
  world.run_for(5s);
  EXPECT_EQ(prefetcher->metrics().requested_bytes.value(), 10_MiB);
}

TEST_F(PrefetcherTest, APlanForAnotherBrokersPartitionNamesTheOwner) {
  make();
  auto answer = offer(warm(9, offsets(0, 100), 77));
  EXPECT_EQ(answer.refusal, Refusal::unknown_partition);
  ASSERT_TRUE(answer.owner);
  EXPECT_EQ(answer.owner->broker, BrokerId{2});
}

TEST_F(PrefetcherTest, StepsOfAChainOnAnotherCoreAreHandedOver) {
  make();
  std::vector<LoadRequest> handed;
  prefetcher->set_elsewhere([&](LoadRequest request) { handed.push_back(std::move(request)); });
  offer(plan(9, ChainPlan{{}, partition(), offsets(0, kFetch), {{{partition(77), offsets(0, 10), 0.9, 1}, 10ms}}, 1}));
  read(0, kFetch);
  world.run_for(10ms);
  ASSERT_EQ(handed.size(), 1U);
  EXPECT_EQ(handed[0].partition, partition(77));
  EXPECT_TRUE(handed[0].prepaid);
}

TEST_F(PrefetcherTest, AnnouncedRangesAreLoadedEvenWithoutPrediction) {
  make();
  set_mode(PrefetchMode::read_ahead);
  EXPECT_EQ(offer(warm(1, offsets(0, kFetch))).refusal, Refusal::disabled);
  EXPECT_TRUE(offer(warm(2, offsets(0, kFetch), 0, Reason::announced)).accepted());
  world.run_for(1s);
  EXPECT_EQ(prefetcher->metrics().requested_bytes.value(), 1_MiB);
}

TEST_F(PrefetcherTest, ASourceWhoseExtentsAreNeverReadIsStarvedToATrickle) {
  PrefetchSettings settings;
  settings.starve_after = 3;
  make(settings, 16_MiB);
  std::uint64_t id = 0;
  for (int i = 0; i < 40; ++i) {
    ++id;
    offer(warm(id, offsets(i * 8 * kFetch, i * 8 * kFetch + 4 * kFetch), 1, Reason::twin));
    world.run_for(200ms);
    read((500 + i * 20) * kFetch, (504 + i * 20) * kFetch, 2);  // others read, so the cache turns over
  }
  int accepted = 0;
  for (int i = 0; i < 64; ++i) {
    ++id;
    accepted += offer(warm(id, offsets(i * 8 * kFetch, i * 8 * kFetch + 10), 4, Reason::twin)).accepted();
  }
  EXPECT_EQ(accepted, 1);
  EXPECT_TRUE(offer(warm(1000, offsets(0, 100), 4, Reason::run)).accepted()) << "other sources go on";
  EXPECT_GT(prefetcher->metrics().unused_bytes.value(), 0);
}

// --- groups ----------------------------------------------------------------------------------------------------------

TEST_F(PrefetcherTest, AGroupThatFormsFindsItsFirstReadsInMemory) {
  make();
  set_mode(PrefetchMode::read_ahead);
  on_core([&] {
    GroupEvent event;
    event.kind = GroupEventKind::join;
    event.group = GroupId{"billing"};
    for (int i = 0; i < 4; ++i) event.offsets.push_back({partition(i), Offset{700 * kFetch}, -1});
    prefetcher->on_group_event(event);
  });
  world.run_for(3s);
  for (int i = 0; i < 4; ++i) read(700 * kFetch, 702 * kFetch, i);
  EXPECT_EQ(worst_wait(), 0ms);
}

TEST_F(PrefetcherTest, AskingForATimeWarmsItsOffset) {
  make();
  on_core([&] {
    GroupEvent event;
    event.kind = GroupEventKind::list_offsets;
    event.offsets = {{partition(), kNoOffset, 700 * kFetch}};  // the fake map's times are offsets
    prefetcher->on_group_event(event);
  });
  world.run_for(200ms);
  read(700 * kFetch, 701 * kFetch);
  EXPECT_EQ(worst_wait(), 0ms);
}

TEST_F(PrefetcherTest, WhatAReadingGroupNeedsNextIsLoadedWhenItLeavesTheDisk) {
  make();
  set_mode(PrefetchMode::read_ahead);
  on_core([&] {
    GroupEvent event;
    event.kind = GroupEventKind::commit;
    event.group = GroupId{"billing"};
    event.offsets = {{partition(), Offset{700 * kFetch}, -1}};
    prefetcher->on_group_event(event);
  });
  world.run_for(1s);
  EXPECT_TRUE(source.loads.empty()) << "it lies on the disk, as far as it knows";
  on_core([&] { prefetcher->on_local_drop(partition(), offsets(650 * kFetch, 750 * kFetch)); });
  world.run_for(200ms);
  read(700 * kFetch, 704 * kFetch);
  EXPECT_EQ(worst_wait(), 0ms);
  auto ended = outcomes();
  ASSERT_FALSE(ended.empty());
  EXPECT_EQ(ended[0].reason, thrift::Reason::RETENTION);
}

TEST_F(PrefetcherTest, WhatWaitsInVainIsRefusedWhenItIsOfNoUseAnyMore) {
  PrefetchSettings settings;
  settings.bytes_per_second = 0;
  make(settings);
  offer(warm(1, offsets(0, 4 * kFetch)));
  world.run_for(2s);
  EXPECT_EQ(prefetcher->metrics().queue_extents.value(), 1);
  world.run_for(10s);
  EXPECT_EQ(prefetcher->metrics().queue_extents.value(), 0);
  auto ended = outcomes();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].refusal, thrift::Refusal::EXPIRED);
}

// --- what people see -------------------------------------------------------------------------------------------------

TEST_F(PrefetcherTest, NotesFollowAPlanFromOfferToOutcome) {
  make();
  offer(warm(0xabc, offsets(1000 * kFetch, 1001 * kFetch)));
  world.run_for(500ms);
  read(1000 * kFetch, 1001 * kFetch);
  auto notes = prefetcher->plans_since(0);
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_NE(notes[0].json.find(R"("event":"accepted","plan":"0000000000000abc","kind":"warm","reason":"stream")"),
            std::string::npos)
      << notes[0].json;
  EXPECT_NE(notes[1].json.find(R"("event":"used","plan":"0000000000000abc")"), std::string::npos) << notes[1].json;
  EXPECT_EQ(prefetcher->plans_since(notes[0].sequence).size(), 1U);
}

TEST_F(PrefetcherTest, WhoFollowsNotesOverARestartMissesNone) {
  make();
  offer(warm(1, offsets(0, 100)));
  EXPECT_EQ(prefetcher->plans_since(500).size(), 1U) << "it counts from where the broker was before";
  EXPECT_TRUE(prefetcher->plans_since(1).empty());
}

}  // namespace
}  // namespace forelog::prefetch
