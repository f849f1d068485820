// The disk tier's files: any bytes as header, record, index and name; records and indexes written, then damaged.
//
// A block that comes out is the block that went in, or none does.
#include "broker/base/crc32c.h"
#include "broker/cache/disk_format.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>

namespace forelog::cache {
namespace {

using fuzz::Decisions;

void check_any(ByteView bytes, Decisions& in) {
  const fuzz::AllocationMeter meter;
  auto region = in.any<std::uint64_t>();
  static_cast<void>(decode_region_header(bytes));
  static_cast<void>(decode_region_record(bytes, region));
  if (auto number = parse_region_file_name(as_text(bytes))) CHECK(region_file_name(*number) == as_text(bytes));
  auto place = find_region_index(bytes.last(std::min<std::size_t>(bytes.size(), kRegionTrailerSize)), in.any<Bytes>());
  if (place) {
    CHECK(place->position >= 0 && place->size >= 0);
    static_cast<void>(decode_region_index(bytes, *place, region));
  }
  meter.expect_bounded(bytes.size());
}

RegionRecord draw_record(Decisions& in, std::uint64_t region) {
  RegionRecord record;
  record.kind = in.one_in(4) ? RegionRecordKind::link : RegionRecordKind::block;
  for (auto& byte : record.id.shard.partition.topic.bytes) byte = in.any<std::uint8_t>();
  record.id.shard.partition.partition = PartitionId(in.between(0, INT32_MAX));
  record.id.shard.base = Offset(in.between<std::int64_t>(0, INT64_MAX));
  record.id.shard.generation = Generation(in.between(0, 5));
  record.region = region;
  if (record.kind == RegionRecordKind::block) {
    record.size = in.between<std::uint32_t>(1, 64);
  } else {
    record.id.shard.generation = Generation(-1 - in.between(0, 5));
    record.generation = Generation(in.between(0, 5));
  }
  return record;
}

void check_block(Decisions& in) {
  auto region = in.any<std::uint64_t>();
  auto record = draw_record(in, region);
  if (record.kind != RegionRecordKind::block) return;
  std::string contents(record.size, '\0');
  for (char& c : contents) c = in.any<char>();
  record.crc = crc32c(as_bytes(contents));
  std::string bytes(encode_region_record(record).text());
  bytes += contents;
  const DiskPlace place{region, 0, record.size, record.crc};
  auto back = block_in_record(Buffer::copy_of(bytes), record.id, place);
  CHECK(back.has_value() && back->text() == contents);
  auto at = in.between<std::size_t>(0, bytes.size() - 1);
  bytes[at] = static_cast<char>(bytes[at] ^ in.between<int>(1, 255));
  auto damaged = block_in_record(Buffer::copy_of(bytes), record.id, place);
  CHECK(!damaged || damaged->text() == contents, "damage came through");
  auto other = record.id;
  other.index += 1;
  CHECK(!block_in_record(Buffer::copy_of(bytes), other, place), "another block's bytes");
}

void check_index(Decisions& in) {
  auto region = in.any<std::uint64_t>();
  std::vector<PlacedRecord> records;
  Bytes position = kRegionHeaderSize;
  for (auto count = in.between<int>(0, 6); count > 0; --count) {
    records.push_back({draw_record(in, region), position});
    position += kRegionRecordHeaderSize + records.back().record.size;
  }
  auto encoded = encode_region_index(records, position);
  auto size = position + static_cast<Bytes>(encoded.size());
  auto place = find_region_index(encoded.view().last(kRegionTrailerSize), size);
  CHECK(place.has_value() && place->position == position);
  auto body = encoded.view().first(static_cast<std::size_t>(place->size));
  auto back = decode_region_index(body, *place, region);
  CHECK(back.has_value() && *back == records);
  if (body.empty()) return;
  std::string damaged(as_text(body));
  auto at = in.between<std::size_t>(0, damaged.size() - 1);
  damaged[at] = static_cast<char>(damaged[at] ^ in.between<int>(1, 255));
  CHECK(!decode_region_index(as_bytes(damaged), *place, region), "damage came through");
}

}  // namespace
}  // namespace forelog::cache

FUZZ_TARGET(disk_tier) {
  using namespace forelog::cache;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 2);
  if (kind == 0) {
    auto bytes = in.text(1024);
    check_any(as_bytes(bytes), in);
  } else if (kind == 1) {
    check_block(in);
  } else {
    check_index(in);
  }
}
