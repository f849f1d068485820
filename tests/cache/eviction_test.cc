#include "broker/cache/eviction.h"

#include <numeric>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace forelog::cache {
namespace {

// Keys are numbers, a block is 10 bytes, time stands still unless a test moves it.
class Cache {
 public:
  explicit Cache(Bytes capacity) : policy_({.capacity = capacity}) {}

  bool load(int key, LoadKind kind, Duration keep = {}) {
    if (!policy_.reserve(kind, 10, now_, evicted_)) return false;
    policy_.release(kind, 10);
    return policy_.insert(key, {}, 10, kind, false, now_, now_ + keep, evicted_);
  }
  void read(int key, std::uint64_t reader = 0) {
    if (!policy_.contains(key)) load(key, LoadKind::demand);
    policy_.use(key, reader);
  }
  void read_run(int from, int count) {
    for (int i = 0; i < count; ++i) read(from + i);
  }
  Presence expect(int key, LoadKind kind = LoadKind::prefetch, Duration keep = {}) {
    return policy_.expect(key, kind, now_, now_ + keep, evicted_);
  }
  bool has(int key) const { return policy_.contains(key); }
  void pass(Duration time) { now_ += time; }
  std::string last_reason() const {
    return std::string(evicted_.empty() ? "" : names[static_cast<int>(evicted_.back().reason)]);
  }

  static constexpr const char* names[] = {"cold", "behind", "lease", "pressure", "erased"};
  EvictionPolicy<int> policy_;
  EvictionPolicy<int>::EvictedList evicted_;
  Instant now_{};
};

TEST(Eviction, AScanDoesNotWashOutWhatIsReadAgain) {
  Cache cache(200);
  for (int round = 0; round < 3; ++round) cache.read_run(0, 5);
  cache.read_run(100, 100);
  for (int key = 0; key < 5; ++key) EXPECT_TRUE(cache.has(key)) << key;
}

TEST(Eviction, WhatReturnsSoonAfterItLeftStays) {
  Cache cache(200);
  cache.read_run(0, 21);
  EXPECT_FALSE(cache.has(0));
  cache.read(0);  // its ghost is remembered, so it goes to the main queue
  cache.read_run(100, 100);
  EXPECT_TRUE(cache.has(0));
}

TEST(Eviction, OneReaderThatTakesABlockInPiecesHasReadItOnce) {
  Cache cache(200);
  for (int piece = 0; piece < 10; ++piece) cache.read(1, 7);
  for (std::uint64_t reader : {7, 8, 9, 7}) cache.read(2, reader);
  cache.read_run(100, 30);
  EXPECT_FALSE(cache.has(1));
  EXPECT_TRUE(cache.has(2));
}

TEST(Eviction, UnreadPrefetchesOutliveATurnoverWithinTheirLease) {
  Cache cache(200);
  EXPECT_TRUE(cache.load(1, LoadKind::prefetch));
  cache.read_run(100, 200);
  EXPECT_TRUE(cache.has(1));
}

TEST(Eviction, AfterTheLongestLeaseAnUnreadPrefetchGoesFirst) {
  Cache cache(200);
  cache.load(1, LoadKind::prefetch);
  cache.read_run(100, 19);
  cache.pass(60s);
  cache.read(500);
  EXPECT_TRUE(cache.has(1));
  cache.pass(60s);
  cache.read(501);
  EXPECT_FALSE(cache.has(1));
  EXPECT_EQ(cache.last_reason(), "lease");
  EXPECT_FALSE(cache.evicted_.back().used);
}

TEST(Eviction, AfterATurnoverOldUnreadPrefetchesYieldToNewOnes) {
  Cache cache(200);
  for (int key = 0; key < 8; ++key) cache.load(key, LoadKind::prefetch);
  cache.read_run(100, 19);
  cache.pass(6s);
  EXPECT_TRUE(cache.load(9, LoadKind::prefetch));
  EXPECT_FALSE(cache.has(0));
}

TEST(Eviction, AQuietCacheKeepsPrefetchesBeyondTheShortestLease) {
  Cache cache(200);
  cache.load(1, LoadKind::prefetch);
  cache.pass(60s);
  for (int key = 2; key <= 8; ++key) EXPECT_TRUE(cache.load(key, LoadKind::prefetch));
  EXPECT_FALSE(cache.load(9, LoadKind::prefetch));  // nothing has turned over: the first is still expected
  cache.pass(60s);
  EXPECT_TRUE(cache.load(9, LoadKind::prefetch));
  EXPECT_FALSE(cache.has(1));
}

TEST(Eviction, PrefetchesBeyondTheStagingShareAreRefused) {
  Cache cache(200);
  for (int key = 0; key < 8; ++key) EXPECT_TRUE(cache.load(key, LoadKind::prefetch));
  EXPECT_EQ(cache.policy_.room(LoadKind::prefetch, cache.now_), 0);
  EXPECT_FALSE(cache.load(8, LoadKind::prefetch));
  cache.read(3);
  EXPECT_TRUE(cache.load(8, LoadKind::prefetch));
}

TEST(Eviction, LoadsInFlightCountAsStaged) {
  Cache cache(200);
  EXPECT_TRUE(cache.policy_.reserve(LoadKind::prefetch, 80, cache.now_, cache.evicted_));
  EXPECT_FALSE(cache.load(1, LoadKind::prefetch));
  cache.policy_.release(LoadKind::prefetch, 80);
  EXPECT_TRUE(cache.load(1, LoadKind::prefetch));
}

TEST(Eviction, HeadsStayUntilTheirMomentAndHaveAShareOfTheirOwn) {
  Cache cache(200);
  EXPECT_TRUE(cache.load(1, LoadKind::head, 1h));
  EXPECT_TRUE(cache.load(2, LoadKind::head, 10min));
  EXPECT_FALSE(cache.load(3, LoadKind::head, 1h));
  cache.read_run(100, 400);
  cache.pass(11min);
  EXPECT_TRUE(cache.has(1) && cache.has(2));
  EXPECT_TRUE(cache.load(3, LoadKind::head, 1h));
  EXPECT_TRUE(cache.has(1));
  EXPECT_FALSE(cache.has(2));
}

TEST(Eviction, WhatSomebodyWaitsForStaysUntilHeComes) {
  Cache cache(100);
  cache.load(1, LoadKind::demand);
  cache.read_run(100, 50);
  cache.pass(60s);
  cache.read_run(200, 50);
  EXPECT_TRUE(cache.has(1));
  cache.pass(60s);
  cache.read_run(300, 1);
  EXPECT_FALSE(cache.has(1));
  EXPECT_EQ(cache.last_reason(), "lease");
}

TEST(Eviction, MuchThatNobodyComesForGoesSoon) {
  Cache cache(100);
  for (int key = 0; key < 10; ++key) cache.load(key, LoadKind::demand);
  EXPECT_FALSE(cache.load(10, LoadKind::demand));  // all of it is awaited
  cache.pass(2s);
  EXPECT_TRUE(cache.load(10, LoadKind::demand));
  EXPECT_FALSE(cache.has(0));
  EXPECT_EQ(cache.last_reason(), "lease");
}

TEST(Eviction, BehindTheLastReaderGoesFirst) {
  Cache cache(100);
  for (int key = 0; key < 10; ++key) cache.read(key, 1);
  cache.policy_.drop_behind(7, 1, false);
  cache.read(50);
  EXPECT_FALSE(cache.has(7));
  EXPECT_EQ(cache.last_reason(), "behind");
}

TEST(Eviction, WhatOthersReadOrAreExpectedForIsNotBehind) {
  Cache cache(200);
  for (int key = 0; key < 10; ++key) cache.read(key, 1);
  cache.read(3, 2);
  cache.expect(4);
  cache.load(20, LoadKind::prefetch);
  cache.load(21, LoadKind::prefetch);
  for (int key : {3, 4, 5, 20}) cache.policy_.drop_behind(key, 1, false);
  cache.policy_.drop_behind(21, 1, true);
  EXPECT_EQ(cache.policy_.unread_prefetched(), 20) << "one that was kept, one that was loaded";
  cache.read_run(100, 10);
  EXPECT_FALSE(cache.has(5));
  EXPECT_FALSE(cache.has(21));
  for (int key : {3, 4, 20}) EXPECT_TRUE(cache.has(key)) << key;
}

TEST(Eviction, WhoComesAfterTheLastOneIsExpectedTheNextTime) {
  Cache cache(200);
  cache.read(7, 1);
  cache.policy_.drop_behind(7, 1, false);
  cache.read_run(100, 20);
  EXPECT_FALSE(cache.has(7));
  cache.read(7, 2);
  cache.policy_.drop_behind(7, 2, false);
  cache.read_run(200, 30);
  EXPECT_TRUE(cache.has(7));
}

TEST(Eviction, AnotherReaderBringsABlockBackFromBehind) {
  Cache cache(100);
  for (int key = 0; key < 10; ++key) cache.read(key, 1);
  cache.policy_.drop_behind(7, 1, false);
  cache.read(7, 2);
  cache.read(50);
  EXPECT_TRUE(cache.has(7));
}

TEST(Eviction, DemandTakesTheOldestUnreadPrefetchWhenNothingElseIsLeft) {
  Cache cache(100);
  for (int key = 0; key < 4; ++key) cache.load(key, LoadKind::prefetch);
  for (int key = 10; key < 16; ++key) cache.load(key, LoadKind::demand);
  EXPECT_FALSE(cache.load(5, LoadKind::prefetch));
  EXPECT_TRUE(cache.load(20, LoadKind::demand));
  EXPECT_FALSE(cache.has(0));
  EXPECT_TRUE(cache.has(1));
  EXPECT_EQ(cache.last_reason(), "pressure");
}

TEST(Eviction, WhatIsExpectedAgainIsKeptUntilItIsRead) {
  Cache cache(200);
  cache.read(1);
  EXPECT_EQ(cache.expect(1), Presence::kept);
  EXPECT_EQ(cache.expect(2), Presence::absent);
  cache.read_run(100, 40);
  EXPECT_TRUE(cache.has(1));
  EXPECT_FALSE(cache.policy_.use(1, 0).first);  // nor is it waste if nobody comes
  cache.read_run(200, 400);
  EXPECT_FALSE(cache.has(1));
}

TEST(Eviction, WhatIsExpectedAgainHasANewLease) {
  Cache cache(200);
  cache.load(1, LoadKind::prefetch);
  cache.load(2, LoadKind::prefetch);
  cache.read_run(100, 19);
  cache.pass(6s);
  EXPECT_EQ(cache.expect(1), Presence::kept);
  for (int key = 3; key <= 9; ++key) EXPECT_TRUE(cache.load(key, LoadKind::prefetch)) << key;
  EXPECT_TRUE(cache.has(1));
  EXPECT_FALSE(cache.has(2));
}

TEST(Eviction, WhatIsExpectedAgainTakesThePlaceOfExpiredPrefetchesOnly) {
  Cache cache(200);
  for (int key = 0; key < 8; ++key) cache.load(key, LoadKind::prefetch);
  cache.read(50);
  EXPECT_EQ(cache.expect(50), Presence::here);  // the share is full: it takes its chance
  EXPECT_EQ(cache.policy_.unread_prefetched(), 80);
  cache.read_run(100, 19);
  cache.pass(6s);
  cache.read(51);
  EXPECT_EQ(cache.expect(51), Presence::kept);
  EXPECT_FALSE(cache.has(0));
  EXPECT_EQ(cache.last_reason(), "lease");
  EXPECT_EQ(cache.policy_.unread_prefetched(), 80);
}

TEST(Eviction, ABlockExpectedForASessionIsKeptUntilItsMoment) {
  Cache cache(200);
  cache.load(1, LoadKind::head, 10s);
  cache.read(2);
  EXPECT_EQ(cache.expect(2, LoadKind::head, 60s), Presence::kept);
  cache.pass(11s);
  EXPECT_TRUE(cache.load(3, LoadKind::head, 60s));
  EXPECT_FALSE(cache.has(1));
  cache.read_run(100, 100);
  EXPECT_TRUE(cache.has(2));
}

TEST(Eviction, ASmallerCapacityTakesEffectAtOnce) {
  Cache cache(200);
  cache.read_run(0, 20);
  cache.policy_.set_capacity(50, cache.now_, cache.evicted_);
  EXPECT_EQ(cache.policy_.used(), 50);
  EXPECT_EQ(cache.evicted_.size(), 15U);
}

TEST(Eviction, ANewNameChangesNeitherPlaceNorSize) {
  Cache cache(200);
  cache.read_run(0, 20);
  EXPECT_TRUE(cache.policy_.rename(0, 1000));
  EXPECT_FALSE(cache.policy_.rename(0, 1001)) << "it has left this name";
  EXPECT_FALSE(cache.policy_.rename(5, 1000)) << "the name is taken";
  EXPECT_EQ(cache.policy_.used(), 200);
  cache.read(20);
  EXPECT_FALSE(cache.has(1000)) << "the oldest, whatever its name";
  EXPECT_TRUE(cache.has(1));
}

TEST(Eviction, ReleasingMoreThanWasReservedEndsTheProcess) {
  Cache cache(100);
  EXPECT_DEATH(cache.policy_.release(LoadKind::demand, 1), "released twice");
}

// Whatever happens in whatever order, bytes are accounted for and never exceed the capacity.
TEST(Eviction, RandomUseKeepsItsInvariants) {
  std::mt19937_64 random(1);
  auto below = [&](std::uint64_t n) { return static_cast<int>(random() % n); };
  for (Bytes capacity : {20, 100, 1000}) {
    Cache cache(capacity);
    std::vector<LoadKind> reserved;
    std::size_t inserted = 0;
    for (int step = 0; step < 20000; ++step) {
      auto kind = static_cast<LoadKind>(below(3));
      switch (below(8)) {
        case 0:
        case 1:
          if (cache.policy_.reserve(kind, 10, cache.now_, cache.evicted_)) reserved.push_back(kind);
          break;
        case 2:
          if (reserved.empty()) break;
          cache.policy_.release(reserved.back(), 10);
          inserted += cache.policy_.insert(below(300), {}, 1 + below(10), reserved.back(), below(5) == 0, cache.now_,
                                           cache.now_ + 1s * below(100), cache.evicted_)
                          ? 1
                          : 0;
          reserved.pop_back();
          break;
        case 3:
          cache.policy_.use(below(300), static_cast<std::uint64_t>(below(3)));
          break;
        case 4:
          cache.policy_.drop_behind(below(300), static_cast<std::uint64_t>(below(3)), below(2) == 0);
          break;
        case 5:
          cache.pass(1ms * below(1000));
          break;
        case 6:
          cache.policy_.erase(below(300), cache.evicted_);
          break;
        case 7:
          cache.expect(below(300), kind, 1s * below(100));
          break;
      }
      ASSERT_LE(cache.policy_.used() + cache.policy_.reserved(), capacity);
      ASSERT_EQ(cache.policy_.reserved(), static_cast<Bytes>(reserved.size()) * 10);
      ASSERT_EQ(cache.policy_.size() + cache.evicted_.size(), inserted);
      ASSERT_LE(cache.policy_.unread_prefetched(), capacity / 2);
    }
  }
}

}  // namespace
}  // namespace forelog::cache
