#include "broker/archive/archive_source.h"

#include "tests/archive/archived_partition.h"

#include <set>

namespace forelog::archive::test {
namespace {

class ArchiveSourceTest : public ArchiveTest {
 protected:
  Result<void> load(std::uint32_t first, std::uint32_t count, cache::Priority priority = cache::Priority::demand,
                    Duration within = 5s) {
    blocks.clear();
    first_block_at.reset();
    cache::BlockSource::OnBlock on_block = [this](std::uint32_t index, Buffer bytes) {
      EXPECT_TRUE(blocks.emplace(index, std::move(bytes)).second) << "block " << index << " came twice";
      if (!first_block_at) first_block_at = world.now();
    };
    auto shared_priority = std::make_shared<const cache::Priority>(priority);
    return run(
        world, machine,
        source->load({partition->id(0), first, count}, shared_priority, std::move(on_block), world.now() + within));
  }
  std::string expected(std::uint32_t index) {
    auto data = partition->bytes(0, partition->batches.size());
    return data.substr(static_cast<std::size_t>(cache::position_of(index)), kBlockSize);
  }
  void expect_blocks(std::uint32_t first, std::uint32_t count) {
    EXPECT_EQ(blocks.size(), count);
    for (auto i = first; i < first + count; ++i) EXPECT_TRUE(blocks[i].text() == expected(i)) << i;
  }

  std::map<std::uint32_t, Buffer> blocks;
  std::optional<Instant> first_block_at;
};

TEST_F(ArchiveSourceTest, HandsOutWholeVerifiedBlocksWhileTheyArrive) {
  make({{1000, 4000}});
  auto count = partition->footers[0].block_count();
  ASSERT_GT(count, 10U);
  ASSERT_TRUE(load(0, count));
  expect_blocks(0, count);
  EXPECT_LT(*first_block_at, world.now());
  ASSERT_TRUE(load(3, 2));
  expect_blocks(3, 2);
}

TEST_F(ArchiveSourceTest, ARangePastTheShardIsNotFound) {
  make({{10, 1000}});
  EXPECT_EQ(load(0, 2).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(load(5, 1).error().code, ErrorCode::kNotFound);
}

TEST_F(ArchiveSourceTest, ABrokenAnswerIsAskedForAgainFromTheFirstMissingBlock) {
  make({{1000, 4000}});
  (void)run(world, machine, footers->get(partition->id(0), std::nullopt, kForever));
  machine.faults().archive_break_rate = 1;
  world.after(100ms, [&] { machine.faults().archive_break_rate = 0; });
  ASSERT_TRUE(load(0, 16));
  expect_blocks(0, 16);
  EXPECT_GT(source->metrics().retries.value(), 0);
  EXPECT_LT(source->metrics().get_bytes.value(), (source->metrics().retries.value() + 1) * 16 * kBlockSize);
}

TEST_F(ArchiveSourceTest, RottenBytesAreNeverHandedOut) {
  make({{1000, 4000}});
  std::string rotten(world.objects()[partition->key(0)].text());
  rotten[static_cast<std::size_t>(2 * kBlockSize + 77)] ^= 1;
  world.objects()[partition->key(0)] = Buffer::take(std::move(rotten));
  auto failed = load(0, 4);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kCorruptBlock);
  EXPECT_NE(failed.error().context.find(BlockId{partition->id(0), 2}.text()), std::string::npos);
  EXPECT_EQ(blocks.size(), 3U);
  EXPECT_FALSE(blocks.contains(2));
  EXPECT_EQ(source->metrics().corrupt_blocks.value(), 2);  // asked for again once
}

TEST_F(ArchiveSourceTest, BytesThatRotOnTheWayComeRightTheSecondTime) {
  make({{1000, 4000}});
  (void)run(world, machine, footers->get(partition->id(0), std::nullopt, kForever));
  machine.faults().archive_wrong_bytes_rate = 1;
  world.after(70ms, [&] { machine.faults().archive_wrong_bytes_rate = 0; });
  machine.faults().archive = {50ms, 50ms};
  ASSERT_TRUE(load(0, 4));
  expect_blocks(0, 4);
  EXPECT_EQ(source->metrics().corrupt_blocks.value(), 1);
}

TEST_F(ArchiveSourceTest, AnOutageEndsInItsOwnErrorBeforeTheDeadline) {
  make({{1000, 4000}});
  (void)run(world, machine, footers->get(partition->id(0), std::nullopt, kForever));
  machine.faults().archive_outage = true;
  auto began = world.now();
  auto failed = load(0, 4, cache::Priority::demand, 2s);
  EXPECT_EQ(failed.error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_LE(world.now() - began, 2s);
  EXPECT_LT(machine.archive().traffic().gets, 30U);  // with pauses between
}

TEST_F(ArchiveSourceTest, ASlowAnswerIsAskedForTwiceWhenSomebodyWaits) {
  make({{1000, 4000}});
  machine.faults().archive = {20ms, 20ms};
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(load(static_cast<std::uint32_t>(i) % 8, 1));
  auto gets = machine.archive().traffic().gets;
  auto won = source->metrics().hedges_won.value();
  machine.faults().archive = {2s, 2s};
  world.after(5ms, [&] { machine.faults().archive = {20ms, 20ms}; });  // only the first request meets the slow way
  auto began = world.now();
  ASSERT_TRUE(load(0, 4, cache::Priority::demand));
  EXPECT_LT(world.now() - began, 100ms);
  EXPECT_EQ(machine.archive().traffic().gets, gets + 2);
  EXPECT_EQ(source->metrics().hedges_won.value(), won + 1);
  expect_blocks(0, 4);
}

TEST_F(ArchiveSourceTest, ASlowPrefetchIsWaitedFor) {
  make({{1000, 4000}});
  machine.faults().archive = {20ms, 20ms};
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(load(static_cast<std::uint32_t>(i) % 8, 1));
  auto hedges = source->metrics().hedges.value();
  machine.faults().archive = {1s, 1s};
  ASSERT_TRUE(load(0, 4, cache::Priority::prefetch));
  EXPECT_EQ(source->metrics().hedges.value(), hedges);
}

TEST(RecentLatency, UsualIsTheTimeOfNinetyFiveInAHundred) {
  RecentLatency latency;
  EXPECT_EQ(latency.usual(), std::nullopt);
  for (int i = 0; i < 63; ++i) latency.add(10ms);
  latency.add(9s);
  EXPECT_EQ(latency.usual(), 10ms);
  for (int i = 0; i < 64; ++i) latency.add(30ms);
  EXPECT_EQ(latency.usual(), 30ms);
}

}  // namespace
}  // namespace forelog::archive::test
