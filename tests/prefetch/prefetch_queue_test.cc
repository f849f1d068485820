#include "broker/prefetch/prefetch_queue.h"

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

constexpr Instant at(Duration t) { return Instant(t); }

ShardId shard(int n) { return {{TopicId{{1}}, PartitionId{n}}, Offset{0}, Generation{0}}; }
Extent extent(std::uint32_t first, std::uint32_t count = 1, int of = 0) { return {shard(of), first, count}; }

QueuedExtent wanted(Extent what, Score score, Duration needed_by = 5s) {
  QueuedExtent out;
  out.extent = what;
  out.needed_by = at(needed_by);
  out.worthless_after = at(needed_by + 1s);
  out.cause.score = score;
  out.cause.plan = PlanId{what.first + 1};  // plans differ, so neighbours do not join
  return out;
}
QueuedExtent of_plan(std::uint64_t plan, QueuedExtent entry) {
  entry.cause.plan = PlanId{plan};
  return entry;
}

std::optional<Extent> pop(PrefetchQueue& queue, Duration now = 0s) {
  std::vector<QueuedExtent> late;
  auto entry = queue.pop(at(now), late);
  return entry ? std::optional(entry->extent) : std::nullopt;
}

TEST(PrefetchQueue, TellsWhatComesNextAndHowUrgentItIs) {
  PrefetchQueue queue(10, 10);
  EXPECT_FALSE(queue.next());
  queue.offer(wanted(extent(4, 3, 1), 0.9, 5s));
  queue.offer(wanted(extent(2, 1, 1), 0.9, 1s));
  queue.offer(wanted(extent(0, 1, 2), 0.9, 3s));
  EXPECT_EQ(queue.next()->extent, extent(4, 3, 1));
  EXPECT_EQ(queue.next()->needed_by, at(1s)) << "what waits behind it in its lane counts";
  EXPECT_EQ(pop(queue), extent(4, 3, 1));
}

TEST(PrefetchQueue, LaneIsFirstInFirstOut) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(4), 0.1));
  queue.offer(wanted(extent(2), 0.9));
  EXPECT_EQ(pop(queue), extent(4));
  EXPECT_EQ(pop(queue), extent(2));
  EXPECT_EQ(pop(queue), std::nullopt);
}

TEST(PrefetchQueue, LanesCompeteByTheirBestScore) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(1, 1, 1), 0.5));
  queue.offer(wanted(extent(2, 1, 2), 0.1));
  queue.offer(wanted(extent(3, 1, 2), 0.9));
  EXPECT_EQ(pop(queue), extent(2, 1, 2)) << "it stands in the way of the best";
  EXPECT_EQ(pop(queue), extent(3, 1, 2));
  EXPECT_EQ(pop(queue), extent(1, 1, 1));
}

TEST(PrefetchQueue, ASecondOfDelayIsWorthHalfTheScore) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(1, 1, 1), 0.8, 3s));
  queue.offer(wanted(extent(2, 1, 2), 0.5, 2s));
  EXPECT_EQ(pop(queue), extent(2, 1, 2));
}

TEST(PrefetchQueue, MoreReadersCountLikeMoreScore) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(1, 1, 1), 0.8));
  auto shared = wanted(extent(2, 1, 2), 0.5);
  shared.readers = 2;
  queue.offer(shared);
  EXPECT_EQ(pop(queue), extent(2, 1, 2));
}

TEST(PrefetchQueue, FullQueueLetsTheLowestScoreGo) {
  PrefetchQueue queue(2, 10);
  EXPECT_TRUE(queue.offer(wanted(extent(1), 0.9)).empty());
  EXPECT_TRUE(queue.offer(wanted(extent(2), 0.2)).empty());
  auto out = queue.offer(wanted(extent(3), 0.5));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].extent, extent(2));
  out = queue.offer(wanted(extent(4), 0.1));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].extent, extent(4)) << "the new one may be the lowest";
  EXPECT_EQ(pop(queue), extent(1));
  EXPECT_EQ(pop(queue), extent(3));
}

TEST(PrefetchQueue, FullLaneTakesNoRoomFromOthers) {
  PrefetchQueue queue(10, 2);
  queue.offer(wanted(extent(1, 1, 7), 0.1));
  queue.offer(wanted(extent(1), 0.5));
  queue.offer(wanted(extent(2), 0.6));
  auto out = queue.offer(wanted(extent(3), 0.7));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].extent, extent(1)) << "the lowest of the lane, though another lane has a lower one";
  EXPECT_EQ(queue.size(), 3U);
}

TEST(PrefetchQueue, WaitingBlocksAreMergedAndOnlyGapsAreAdded) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(2, 2), 0.3, 8s));
  auto second = wanted(extent(1, 5), 0.6, 4s);  // blocks 1..5 around 2..3
  second.cause.reason = Reason::twin;
  EXPECT_TRUE(queue.offer(second).empty());
  EXPECT_EQ(queue.bytes(), 5 * kBlockSize);

  std::vector<QueuedExtent> late;
  auto merged = queue.pop(at(0s), late);
  ASSERT_TRUE(merged);
  EXPECT_EQ(merged->extent, extent(2, 4)) << "now of the same asker, blocks 4 and 5 joined";
  EXPECT_EQ(merged->cause.reason, Reason::twin) << "the higher score gives the cause";
  EXPECT_EQ(merged->needed_by, at(4s));
  EXPECT_EQ(merged->worthless_after, at(9s));
  EXPECT_EQ(merged->readers, 2);
  EXPECT_EQ(pop(queue), extent(1));
  EXPECT_EQ(pop(queue), std::nullopt);
}

TEST(PrefetchQueue, AskingTwiceDoesNotMakeTwoReaders) {
  PrefetchQueue queue(10, 10);
  for (int i = 0; i < 3; ++i) queue.offer(wanted(extent(1), 0.5));
  std::vector<QueuedExtent> late;
  EXPECT_EQ(queue.pop(at(0s), late)->readers, 1);
}

TEST(PrefetchQueue, LongRunsAreCutIntoAlignedExtents) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(10, 30), 0.5));
  EXPECT_EQ(pop(queue), extent(10, 6));
  EXPECT_EQ(pop(queue), extent(16, 16));
  EXPECT_EQ(pop(queue), extent(32, 8));
  EXPECT_EQ(queue.bytes(), 0);
  EXPECT_EQ(queue.lanes(), 0U);
}

TEST(PrefetchQueue, NeighboursOfOneAskerJoinIntoOneGet) {
  PrefetchQueue queue(10, 10);
  queue.offer(of_plan(7, wanted(extent(3, 2), 0.5)));
  queue.offer(of_plan(7, wanted(extent(5, 2), 0.5)));
  queue.offer(of_plan(8, wanted(extent(7, 2), 0.5)));
  EXPECT_EQ(pop(queue), extent(3, 4));
  EXPECT_EQ(pop(queue), extent(7, 2)) << "of another plan";
}

TEST(PrefetchQueue, WhatIsWorthlessNowIsHandedBackAsLate) {
  PrefetchQueue queue(10, 10);
  queue.offer(wanted(extent(1), 0.5, 1s));
  queue.offer(wanted(extent(2), 0.5, 5s));
  std::vector<QueuedExtent> late;
  auto entry = queue.pop(at(3s), late);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->extent, extent(2));
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].extent, extent(1));
}

TEST(PrefetchQueue, RemovesWhatIsNoLongerWanted) {
  PrefetchQueue queue(10, 10);
  queue.offer(of_plan(7, wanted(extent(1), 0.5)));
  queue.offer(of_plan(8, wanted(extent(9, 1, 3), 0.5)));
  auto gone = queue.remove_if([](const QueuedExtent& e) { return e.cause.plan == PlanId{7}; });
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.lanes(), 1U);
}

// Whatever is offered, the invariants of the header hold.
TEST(PrefetchQueue, RandomOffersKeepTheInvariants) {
  PrefetchQueue queue(40, 16);
  std::uint64_t state = 1;
  auto draw = [&state](std::uint64_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
  };
  for (int round = 0; round < 3000; ++round) {
    auto what = extent(static_cast<std::uint32_t>(draw(200)), static_cast<std::uint32_t>(1 + draw(60)),
                       static_cast<int>(draw(5)));
    auto entry = of_plan(draw(3), wanted(what, static_cast<double>(draw(100)) / 100, 1s * draw(20)));
    queue.offer(entry);
    ASSERT_LE(queue.size(), 40U);
    if (round % 50 != 0) continue;
    std::set<BlockId> seen;
    Bytes bytes = queue.bytes(), popped = 0;
    std::map<ShardId, int> in_lane;
    while (auto next = pop(queue)) {
      EXPECT_LE(next->count, kExtentBlocksMax);
      EXPECT_EQ(next->first / kExtentBlocksMax, (next->end() - 1) / kExtentBlocksMax);
      EXPECT_LE(++in_lane[next->shard], 16);
      popped += next->count * kBlockSize;
      for (std::uint32_t i = 0; i < next->count; ++i) EXPECT_TRUE(seen.insert(next->at(i)).second);
    }
    EXPECT_EQ(popped, bytes);
    EXPECT_EQ(queue.lanes(), 0U);
  }
}

}  // namespace
}  // namespace forelog::prefetch
