// disk_format.h: the bytes of the disk tier's region files. Layout: FORMAT.md.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::cache {

inline constexpr Bytes kRegionHeaderSize = 64;
inline constexpr Bytes kRegionRecordHeaderSize = 64;
inline constexpr Bytes kRegionTrailerSize = 32;
inline constexpr Bytes kRegionIndexEntrySize = kRegionRecordHeaderSize + 8;

struct RegionHeader {
  std::uint64_t number = 0;  // grows for ever; also the file's name
  std::uint64_t life = 0;    // of the broker that wrote it: drawn at each start
};

enum class RegionRecordKind : std::uint8_t {
  block = 1,
  link = 2,  // the blocks of a shard under its provisional generation are, from here on, those of `generation`
};

struct RegionRecord {
  RegionRecordKind kind = RegionRecordKind::block;
  BlockId id{};             // of a link: the shard under its provisional generation, and index 0
  Generation generation{};  // of a link
  std::uint32_t size = 0;
  std::uint32_t crc = 0;  // of the bytes that follow
  std::uint64_t region = 0;
  friend bool operator==(const RegionRecord&, const RegionRecord&) = default;
};

// A record and where in its region it begins.
struct PlacedRecord {
  RegionRecord record;
  Bytes position = 0;
  friend bool operator==(const PlacedRecord&, const PlacedRecord&) = default;
};

std::string region_file_name(std::uint64_t number);  // "region-0000000000000012"
std::optional<std::uint64_t> parse_region_file_name(std::string_view name);

Buffer encode_region_header(const RegionHeader& header);
Result<RegionHeader> decode_region_header(ByteView bytes);
Buffer encode_region_record(const RegionRecord& record);
// A record's header, as far as it is sound by itself and belongs to `region`.
Result<RegionRecord> decode_region_record(ByteView bytes, std::uint64_t region);

// Where a block is, and what it is there: its record begins at `position`.
struct DiskPlace {
  std::uint64_t region = 0;
  Bytes position = 0;
  std::uint32_t size = 0;
  std::uint32_t crc = 0;
  friend bool operator==(const DiskPlace&, const DiskPlace&) = default;
};
// The block that `bytes`, a record with its header, is to hold: the right one, whole and unchanged, or CorruptBlock.
Result<Buffer> block_in_record(const Buffer& bytes, const BlockId& id, const DiskPlace& place);

// What ends a full region: its records, so that a start reads it at once. `position`: where this is to be written.
Buffer encode_region_index(const std::vector<PlacedRecord>& records, Bytes position);
struct RegionIndexPlace {
  Bytes position = 0;
  Bytes size = 0;  // without the trailer
  std::uint32_t crc = 0;
};
// From the last kRegionTrailerSize bytes of a file of `file_size`. Fails CorruptFile when the region has none.
Result<RegionIndexPlace> find_region_index(ByteView trailer, Bytes file_size);
Result<std::vector<PlacedRecord>> decode_region_index(ByteView bytes, const RegionIndexPlace& place,
                                                      std::uint64_t region);

// Generations below zero are provisional: of shards that still grow, and never the same twice in one life of a broker.
constexpr bool is_provisional(const ShardId& shard) { return shard.generation < Generation(0); }

}  // namespace forelog::cache
