#include "broker/cache/disk_index.h"

#include <random>
#include <set>

#include <gtest/gtest.h>

namespace forelog::cache {
namespace {

constexpr ShardId kShard{{TopicId{{7}}, PartitionId{0}}, Offset{0}, Generation{0}};
constexpr ShardId kGrowing{{TopicId{{7}}, PartitionId{0}}, Offset{50}, Generation{-3}};
constexpr std::uint32_t kSize = 250'000;

BlockId block(std::uint32_t index) { return {kShard, index}; }
std::uint32_t crc_of(std::uint32_t index) { return index * 31 + 5; }

// Writes as the driver does: into the open region, or into a new one.
struct Disk {
  explicit Disk(Bytes bytes_max) : index(bytes_max) {}
  void write(const BlockId& id, std::uint32_t size = kSize) {
    if (!index.fits(1, size)) {
      index.close_region();
      for (auto gone : index.begin_region(++number)) removed.push_back(gone);
    }
    index.add({.id = id, .size = size, .crc = crc_of(id.index), .region = number});
  }
  // A reader uses it; written where the index says so.
  bool use(std::uint32_t i) {
    if (index.on_use(block(i)) != DiskAdmission::take) return false;
    write(block(i));
    return true;
  }
  bool has(std::uint32_t i) const { return index.find(block(i)).has_value(); }

  DiskIndex index;
  std::uint64_t number = 0;
  std::vector<std::uint64_t> removed;
};

TEST(DiskIndex, WhileThereIsRoomWhatIsUsedIsTakenOnce) {
  Disk disk(64_MiB);
  for (std::uint32_t i = 0; i < 50; ++i) EXPECT_TRUE(disk.use(i));
  for (std::uint32_t i = 0; i < 50; ++i) EXPECT_FALSE(disk.use(i)) << "it is there";
  for (std::uint32_t i = 0; i < 50; ++i) EXPECT_TRUE(disk.has(i));
  EXPECT_TRUE(disk.removed.empty());
}

TEST(DiskIndex, AFullTierTakesWhatComesBackAndNotWhatPassesOnce) {
  Disk disk(64_MiB);
  std::uint32_t next = 0;
  while (disk.use(next)) ++next;
  EXPECT_GT(next, 180U);  // three blocks and their headers in each MiB
  for (std::uint32_t i = next + 1; i < next + 100; ++i) EXPECT_FALSE(disk.use(i)) << "nobody asked for it before";
  EXPECT_TRUE(disk.removed.empty());
  for (std::uint32_t i = next; i < next + 100; ++i) EXPECT_TRUE(disk.use(i)) << "it came back";
  EXPECT_FALSE(disk.has(0)) << "the oldest made room";
  EXPECT_LE(disk.index.bytes(), disk.index.bytes_max());
}

TEST(DiskIndex, WhatCameLongAgoIsForgotten) {
  Disk disk(8_MiB);
  std::uint32_t next = 0;
  while (disk.use(next++)) {
  }
  for (std::uint32_t i = next; i < next + 40; ++i) EXPECT_FALSE(disk.use(i));  // as many as 8 MiB hold are remembered
  EXPECT_FALSE(disk.use(next));
  EXPECT_TRUE(disk.use(next + 39));
}

TEST(DiskIndex, ABlockUsedShortlyBeforeItsRegionGoesIsWrittenAgain) {
  Disk disk(16_MiB);
  std::uint32_t next = 0;
  while (disk.use(next)) ++next;
  EXPECT_FALSE(disk.use(next - 1)) << "young";
  EXPECT_TRUE(disk.use(0)) << "in the oldest quarter";
  for (std::uint32_t i = next; i < next + 12; ++i) disk.use(i), disk.use(i);
  EXPECT_FALSE(disk.removed.empty());
  EXPECT_TRUE(disk.has(0));
  EXPECT_FALSE(disk.has(1));
}

TEST(DiskIndex, ARegionThatGoesTakesOnlyWhatStillLiesInIt) {
  Disk disk(64_MiB);
  disk.write(block(1)), disk.write(block(2));
  disk.index.close_region();
  disk.index.begin_region(++disk.number);
  disk.write(block(1));
  EXPECT_EQ(disk.index.find(block(1))->region, 2U);
  EXPECT_EQ(disk.index.drop_oldest(), 1U);
  EXPECT_TRUE(disk.has(1));
  EXPECT_FALSE(disk.has(2));
  EXPECT_FALSE(disk.index.drop_oldest()) << "the open region stays";
}

TEST(DiskIndex, ABadBlockIsForgottenWhereItWasAndNowhereElse) {
  Disk disk(64_MiB);
  disk.write(block(1));
  auto old = *disk.index.find(block(1));
  disk.write(block(1));
  disk.index.erase_at(block(1), old);
  EXPECT_TRUE(disk.has(1)) << "it had been written again meanwhile";
  disk.index.erase_at(block(1), *disk.index.find(block(1)));
  EXPECT_FALSE(disk.has(1));
}

TEST(DiskIndex, ASealedShardKeepsItsBlocksUnderTheFinalName) {
  Disk disk(64_MiB);
  for (std::uint32_t i = 0; i < 3; ++i) disk.write({kGrowing, i});
  EXPECT_EQ(disk.index.link(kGrowing, Generation(0), {crc_of(0), crc_of(1) + 1, crc_of(2), 4}), 2U);
  auto sealed = kGrowing;
  sealed.generation = Generation(0);
  EXPECT_TRUE(disk.index.find({sealed, 0}));
  EXPECT_FALSE(disk.index.find({sealed, 1})) << "other bytes than the footer's";
  EXPECT_TRUE(disk.index.find({sealed, 2}));
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_FALSE(disk.index.find({kGrowing, i}));
}

PlacedRecord placed(const BlockId& id, std::uint64_t region, Bytes position) {
  return {{.id = id, .size = kSize, .crc = crc_of(id.index), .region = region}, position};
}
PlacedRecord link_of(const ShardId& shard, std::uint64_t region, Bytes position) {
  return {{.kind = RegionRecordKind::link, .id = {shard, 0}, .generation = Generation(0), .region = region}, position};
}

TEST(DiskIndex, AStartBelievesNoProvisionalNameWithoutALinkOfItsOwnLife) {
  auto other = kGrowing;
  other.base = Offset(60);
  auto sealed = kGrowing;
  sealed.generation = Generation(0);
  DiskIndex index(64_MiB);
  index.restore(1, 100, 3 * kSize, {placed({kGrowing, 0}, 1, 64), placed({other, 0}, 1, 300'000)});
  // The same name in another life, for other bytes.
  index.restore(2, 200, 3 * kSize, {placed({kGrowing, 1}, 2, 64), link_of(kGrowing, 2, 400'000)});
  index.end_restore();
  EXPECT_FALSE(index.find({sealed, 0})) << "of a life whose shard was never sealed";
  EXPECT_EQ(index.find({sealed, 1})->region, 2U);
  EXPECT_EQ(index.blocks(), 1U);
}

TEST(DiskIndex, ASmallerBoundTakesEffectWithTheNextRegion) {
  DiskIndex index(8_MiB);
  for (std::uint64_t number = 1; number <= 4; ++number) index.restore(number, 1, 4_MiB, {placed(block(1), number, 64)});
  index.end_restore();
  EXPECT_EQ(index.begin_region(9), (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_LE(index.bytes(), 8_MiB);
}

// Whatever comes in whatever order: a model says what must be there.
TEST(DiskIndex, NothingIsFoundThatLiesInARegionThatIsGone) {
  std::mt19937 random(11);
  Disk disk(8_MiB);
  for (int step = 0; step < 20'000; ++step) {
    auto i = static_cast<std::uint32_t>(random() % 120);
    switch (random() % 8) {
      case 0:
        disk.index.erase(block(i));
        break;
      case 1:
        if (auto oldest = random() % 50 == 0 ? disk.index.drop_oldest() : std::nullopt) disk.removed.push_back(*oldest);
        break;
      default:
        disk.use(i);
    }
    ASSERT_LE(disk.index.bytes(), disk.index.bytes_max());
    auto place = disk.index.find(block(i));
    if (!place) continue;
    ASSERT_EQ(std::count(disk.removed.begin(), disk.removed.end(), place->region), 0);
    ASSERT_LE(place->region, disk.number);
  }
  EXPECT_GT(disk.removed.size(), 100U);
}

}  // namespace
}  // namespace forelog::cache
