#include "broker/cache/disk_format.h"

#include "broker/base/crc32c.h"
#include "tests/support/golden.h"

#include <random>

#include <gtest/gtest.h>

namespace forelog::cache {
namespace {

const ShardId kShard{{TopicId{{1, 2, 3}}, PartitionId(4)}, Offset(100), Generation(7)};
const ShardId kGrowing{{TopicId{{1, 2, 3}}, PartitionId(4)}, Offset(900), Generation(-5)};

// A closed region: two blocks, one of them under a provisional generation, and the link that names it.
struct Region {
  explicit Region(std::uint64_t number) : number(number) { bytes += encode_region_header({number, 99}).text(); }
  void add(RegionRecord record, std::string_view content = {}) {
    record.size = static_cast<std::uint32_t>(content.size());
    record.crc = crc32c(as_bytes(content));
    record.region = number;
    records.push_back({record, static_cast<Bytes>(bytes.size())});
    bytes += encode_region_record(record).text();
    bytes += content;
  }
  void close() { bytes += encode_region_index(records, static_cast<Bytes>(bytes.size())).text(); }
  DiskPlace place(std::size_t i) const {
    return {number, records[i].position, records[i].record.size, records[i].record.crc};
  }
  std::uint64_t number;
  std::string bytes;
  std::vector<PlacedRecord> records;
};

Region sample() {
  Region region(12);
  region.add({.id = {kShard, 3}}, "the bytes of a block");
  region.add({.id = {kGrowing, 0}}, "the bytes of a growing shard");
  region.add({.kind = RegionRecordKind::link, .id = {kGrowing, 0}, .generation = Generation(2)});
  region.close();
  return region;
}

Result<std::vector<PlacedRecord>> index_of(ByteView file, std::uint64_t number) {
  auto size = static_cast<Bytes>(file.size());
  auto place = TRY(find_region_index(file.last(kRegionTrailerSize), size));
  auto from = static_cast<std::size_t>(place.position);
  return decode_region_index(file.subspan(from, static_cast<std::size_t>(place.size)), place, number);
}

Buffer record_bytes(const Region& region, std::size_t i) {
  auto size = static_cast<std::size_t>(kRegionRecordHeaderSize) + region.records[i].record.size;
  return Buffer::copy_of(
      std::string_view(region.bytes).substr(static_cast<std::size_t>(region.place(i).position), size));
}

TEST(DiskFormat, ARegionOfVersion1) {
  auto region = sample();
  auto stored = test::golden("region_v1", region.bytes);
  EXPECT_EQ(stored, region.bytes);
  auto header = decode_region_header(as_bytes(stored).first(kRegionHeaderSize));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->number, 12U);
  EXPECT_EQ(header->life, 99U);
  auto records = index_of(as_bytes(stored), 12);
  ASSERT_TRUE(records) << records.error().text();
  EXPECT_EQ(*records, region.records);
  EXPECT_EQ(block_in_record(record_bytes(region, 0), {kShard, 3}, region.place(0))->text(), "the bytes of a block");
}

TEST(DiskFormat, OnlyTheRightBlockIsTakenFromARecord) {
  auto region = sample();
  auto bytes = record_bytes(region, 0);
  auto place = region.place(0);
  auto code = [&](const BlockId& id, const DiskPlace& at) { return block_in_record(bytes, id, at).error().code; };
  auto other_shard = kShard;
  other_shard.base = Offset(101);
  auto other_generation = kShard;
  other_generation.generation = Generation(8);
  EXPECT_EQ(code({kShard, 4}, place), ErrorCode::kCorruptBlock);
  EXPECT_EQ(code({other_shard, 3}, place), ErrorCode::kCorruptBlock);
  EXPECT_EQ(code({other_generation, 3}, place), ErrorCode::kCorruptBlock);
  EXPECT_EQ(code({kShard, 3}, {13, place.position, place.size, place.crc}), ErrorCode::kCorruptBlock);
  EXPECT_EQ(code({kShard, 3}, {12, place.position, place.size, place.crc + 1}), ErrorCode::kCorruptBlock);
  EXPECT_FALSE(block_in_record(bytes.slice(0, bytes.size() - 1), {kShard, 3}, place));
  // Under its final name, what was written under the provisional one; the place says which bytes are meant.
  auto grown = kGrowing;
  grown.generation = Generation(2);
  EXPECT_TRUE(block_in_record(record_bytes(region, 1), {grown, 0}, region.place(1)));
}

TEST(DiskFormat, EveryFlippedBitIsNoticed) {
  auto region = sample();
  for (std::size_t record : {0U, 1U}) {
    auto sound = std::string(record_bytes(region, record).text());
    auto id = region.records[record].record.id;
    for (std::size_t bit = 0; bit < sound.size() * 8; ++bit) {
      auto rotten = sound;
      rotten[bit / 8] = static_cast<char>(rotten[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_FALSE(block_in_record(Buffer::take(rotten), id, region.place(record))) << bit;
    }
  }
  for (std::size_t at = 0; at < static_cast<std::size_t>(kRegionHeaderSize); ++at) {
    auto rotten = region.bytes;
    rotten[at] = static_cast<char>(rotten[at] ^ 4);
    EXPECT_FALSE(decode_region_header(as_bytes(rotten).first(kRegionHeaderSize))) << at;
  }
}

TEST(DiskFormat, WhateverBytesComeNothingIsBelieved) {
  auto region = sample();
  std::mt19937 random(5);
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = region.bytes;
    auto begin = static_cast<std::size_t>(region.records.back().position);
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
      bytes[begin + random() % (bytes.size() - begin)] = static_cast<char>(random());
    bytes.resize(bytes.size() - (random() % 3 == 0 ? random() % 40 : 0));
    auto records = index_of(as_bytes(bytes), 12);
    if (records) EXPECT_EQ(*records, region.records);
  }
}

TEST(DiskFormat, NamesOfFiles) {
  EXPECT_EQ(region_file_name(12), "region-0000000000000012");
  EXPECT_EQ(parse_region_file_name(region_file_name(12)), 12U);
  for (const char* name : {"region-12", "region-000000000000001x", "segment-0000000000000012", "region-"})
    EXPECT_FALSE(parse_region_file_name(name)) << name;
}

}  // namespace
}  // namespace forelog::cache
