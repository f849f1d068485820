#include "broker/cache/disk_format.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::cache {
namespace {

constexpr std::uint32_t kFileMagic = 0x464c4352;    // "FLCR"
constexpr std::uint32_t kRecordMagic = 0x464c4342;  // "FLCB"
constexpr std::uint32_t kIndexMagic = 0x464c4349;   // "FLCI"
constexpr std::uint16_t kVersion = 1;
constexpr std::string_view kFilePrefix = "region-";

std::unexpected<Error> corrupt(std::string what) { return fail(ErrorCode::kCorruptFile, std::move(what)); }

}  // namespace

std::string region_file_name(std::uint64_t number) { return fmt::format("{}{:016d}", kFilePrefix, number); }

std::optional<std::uint64_t> parse_region_file_name(std::string_view name) {
  if (!name.starts_with(kFilePrefix)) return std::nullopt;
  name.remove_prefix(kFilePrefix.size());
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  bool whole = name.size() == 16 && error == std::errc{} && end == name.data() + name.size();
  return whole ? std::optional(number) : std::nullopt;
}

Buffer encode_region_header(const RegionHeader& header) {
  ByteWriter out;
  out.u32(kFileMagic);
  out.u16(kVersion);
  out.u16(0);
  out.u64(header.number);
  out.u64(header.life);
  while (out.size() < kRegionHeaderSize - 4) out.u8(0);
  out.u32(crc32c(out.view()));
  return std::move(out).take_buffer();
}

Result<RegionHeader> decode_region_header(ByteView bytes) {
  if (static_cast<Bytes>(bytes.size()) < kRegionHeaderSize) return corrupt("a region's header is cut off");
  ByteReader in(bytes.first(kRegionHeaderSize));
  auto magic = in.u32();
  auto version = in.u16();
  in.u16();
  RegionHeader header;
  header.number = in.u64();
  header.life = in.u64();
  in.bytes(kRegionHeaderSize - 4 - static_cast<Bytes>(in.position()));
  auto crc = in.u32();
  if (magic != kFileMagic) return corrupt("not a region of the disk tier");
  if (version != kVersion) return corrupt("region version " + std::to_string(version));
  if (crc != crc32c(bytes.first(kRegionHeaderSize - 4))) return corrupt("a region's header has a wrong checksum");
  return header;
}

Buffer encode_region_record(const RegionRecord& record) {
  ByteWriter out;
  out.reserve(kRegionRecordHeaderSize);
  out.u32(kRecordMagic);
  out.u8(static_cast<std::uint8_t>(record.kind));
  out.u8(0);
  out.u16(0);
  out.bytes(std::as_bytes(std::span(record.id.shard.partition.topic.bytes)));
  out.i32(record.id.shard.partition.partition.value());
  out.i64(record.id.shard.base.value());
  out.i32(record.id.shard.generation.value());
  out.u32(record.kind == RegionRecordKind::link ? static_cast<std::uint32_t>(record.generation.value())
                                                : record.id.index);
  out.u32(record.size);
  out.u32(record.crc);
  out.u64(record.region);
  out.u32(crc32c(out.view()));
  CHECK(out.size() == kRegionRecordHeaderSize);
  return std::move(out).take_buffer();
}

Result<RegionRecord> decode_region_record(ByteView bytes, std::uint64_t region) {
  if (static_cast<Bytes>(bytes.size()) < kRegionRecordHeaderSize) return corrupt("a record's header is cut off");
  ByteReader in(bytes.first(kRegionRecordHeaderSize));
  auto magic = in.u32();
  auto kind = in.u8();
  in.u8();
  in.u16();
  RegionRecord record;
  auto topic = in.bytes(16);
  std::memcpy(record.id.shard.partition.topic.bytes.data(), topic.data(), topic.size());
  record.id.shard.partition.partition = PartitionId(in.i32());
  record.id.shard.base = Offset(in.i64());
  record.id.shard.generation = Generation(in.i32());
  auto number = in.u32();
  record.size = in.u32();
  record.crc = in.u32();
  record.region = in.u64();
  auto crc = in.u32();
  if (magic != kRecordMagic || crc != crc32c(bytes.first(kRegionRecordHeaderSize - 4)))
    return corrupt("no record here");
  if (record.region != region) return corrupt("a record of another region");
  record.kind = static_cast<RegionRecordKind>(kind);
  if (record.kind == RegionRecordKind::block) {
    record.id.index = number;
    if (record.size == 0 || record.size > kBlockSize) return corrupt("a block of an impossible size");
  } else if (record.kind == RegionRecordKind::link) {
    record.generation = Generation(static_cast<std::int32_t>(number));
    bool sound = record.size == 0 && is_provisional(record.id.shard) && record.generation >= Generation(0);
    if (!sound) return corrupt("a link that links nothing");
  } else {
    return corrupt("a record of an unknown kind");
  }
  return record;
}

Result<Buffer> block_in_record(const Buffer& bytes, const BlockId& id, const DiskPlace& place) {
  auto record = decode_region_record(bytes, place.region);
  if (!record) return fail(ErrorCode::kCorruptBlock, id.text() + ": " + record.error().context);
  // A block that was written under a provisional generation keeps it in its record; the index knows the final one.
  bool same = record->kind == RegionRecordKind::block && record->id.index == id.index &&
              record->id.shard.partition == id.shard.partition && record->id.shard.base == id.shard.base &&
              (record->id.shard.generation == id.shard.generation || is_provisional(record->id.shard)) &&
              record->size == place.size && record->crc == place.crc;
  if (!same) return fail(ErrorCode::kCorruptBlock, id.text() + ": another block lies here");
  if (static_cast<Bytes>(bytes.size()) != kRegionRecordHeaderSize + static_cast<Bytes>(record->size))
    return fail(ErrorCode::kCorruptBlock, id.text() + ": cut off");
  auto block = bytes.slice(kRegionRecordHeaderSize);
  if (crc32c(block) != record->crc) return fail(ErrorCode::kCorruptBlock, id.text() + ": wrong checksum");
  return block;
}

Buffer encode_region_index(const std::vector<PlacedRecord>& records, Bytes position) {
  ByteWriter out;
  out.reserve(records.size() * static_cast<std::size_t>(kRegionIndexEntrySize) + kRegionTrailerSize);
  for (const auto& placed : records) {
    out.bytes(encode_region_record(placed.record));
    out.i64(placed.position);
  }
  auto size = out.size();
  auto crc = crc32c(out.view());
  out.u32(kIndexMagic);
  out.u16(kVersion);
  out.u16(0);
  out.i64(position);
  out.i64(static_cast<Bytes>(size));
  out.u32(crc);
  out.u32(crc32c(out.view().subspan(size)));
  CHECK(out.size() == size + kRegionTrailerSize);
  return std::move(out).take_buffer();
}

Result<RegionIndexPlace> find_region_index(ByteView trailer, Bytes file_size) {
  if (static_cast<Bytes>(trailer.size()) != kRegionTrailerSize) return corrupt("no index");
  ByteReader in(trailer);
  auto magic = in.u32();
  auto version = in.u16();
  in.u16();
  RegionIndexPlace place;
  place.position = in.i64();
  place.size = in.i64();
  place.crc = in.u32();
  auto crc = in.u32();
  bool sound = magic == kIndexMagic && version == kVersion && crc == crc32c(trailer.first(kRegionTrailerSize - 4));
  if (!sound) return corrupt("no index");
  bool fits = place.position >= kRegionHeaderSize && place.size >= 0 && place.size % kRegionIndexEntrySize == 0 &&
              place.position <= file_size && place.size == file_size - kRegionTrailerSize - place.position;
  if (!fits) return corrupt("an index of another file");
  return place;
}

Result<std::vector<PlacedRecord>> decode_region_index(ByteView bytes, const RegionIndexPlace& place,
                                                      std::uint64_t region) {
  if (static_cast<Bytes>(bytes.size()) != place.size || crc32c(bytes) != place.crc)
    return corrupt("a region's index has a wrong checksum");
  std::vector<PlacedRecord> records;
  records.reserve(bytes.size() / static_cast<std::size_t>(kRegionIndexEntrySize));
  for (; !bytes.empty(); bytes = bytes.subspan(static_cast<std::size_t>(kRegionIndexEntrySize))) {
    PlacedRecord placed{TRY(decode_region_record(bytes, region)), 0};
    placed.position = ByteReader(bytes.subspan(kRegionRecordHeaderSize)).i64();
    auto size = kRegionRecordHeaderSize + static_cast<Bytes>(placed.record.size);
    bool inside = placed.position >= kRegionHeaderSize && placed.position <= place.position - size;
    if (!inside) return corrupt("a region's index points outside of it");
    records.push_back(placed);
  }
  return records;
}

}  // namespace forelog::cache
