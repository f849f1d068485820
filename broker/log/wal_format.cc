#include "broker/log/wal_format.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/limits.h"
#include "broker/base/versions.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::log {
namespace {

constexpr std::uint32_t kMagic = 0x464c574c;  // "FLWL"
constexpr std::uint16_t kVersion = 1;
constexpr std::string_view kFilePrefix = "wal-";
constexpr std::string_view kSparePrefix = "spare-";

}  // namespace

Buffer encode_wal_file_header(std::int64_t number) {
  ByteWriter out;
  out.u32(kMagic);
  out.u16(kVersion);
  out.u16(0);
  out.i64(number);
  return std::move(out).take_buffer();
}

Result<std::int64_t> decode_wal_file_header(ByteView bytes) {
  ByteReader in(bytes);
  auto magic = in.u32();
  auto version = in.u16();
  in.u16();
  auto number = in.i64();
  if (!in.ok() || magic != kMagic) return fail(ErrorCode::kCorruptFile, "not a write-ahead log");
  if (version != kVersion) return fail(ErrorCode::kCorruptFile, unknown_version("write-ahead log", version, kVersion));
  return number;
}

std::optional<std::string> newer_wal_version(ByteView bytes) {
  ByteReader in(bytes);
  auto magic = in.u32();
  auto version = in.u16();
  if (!in.ok() || magic != kMagic || version <= kVersion) return std::nullopt;
  return unknown_version("write-ahead log", version, kVersion);
}

Buffer encode_wal_record_header(const WalRecordHeader& header, const Slices& payload) {
  ByteWriter out;
  out.reserve(kWalRecordHeaderSize);
  out.u32(0);  // checksum, below
  out.u32(header.payload_size);
  out.i64(header.file);
  out.i64(header.lsn.value());
  out.u8(static_cast<std::uint8_t>(header.kind));
  out.u8(0);
  out.u16(0);
  out.bytes(std::as_bytes(std::span(header.shard.partition.topic.bytes)));
  out.i32(header.shard.partition.partition.value());
  out.i64(header.shard.base.value());
  out.i32(header.shard.generation.value());
  out.u32(header.position);
  CHECK(out.size() == kWalRecordHeaderSize);
  auto crc = crc32c(out.view().subspan(4));
  for (const auto& slice : payload) crc = crc32c_extend(crc, slice);
  out.patch(0, crc);
  return std::move(out).take_buffer();
}

WalParse parse_wal_record(ByteView bytes, std::int64_t file) {
  WalParse out;
  if (bytes.size() < kWalRecordHeaderSize) {
    out.state = WalRecordState::more;
    out.needed = kWalRecordHeaderSize;
    return out;
  }
  auto& header = out.record.header;
  ByteReader in(bytes);
  auto crc = in.u32();
  header.payload_size = in.u32();
  header.file = in.i64();
  header.lsn = Lsn(in.i64());
  auto kind = in.u8();
  in.u8();
  in.u16();
  auto topic = in.bytes(16);
  std::memcpy(header.shard.partition.topic.bytes.data(), topic.data(), topic.size());
  header.shard.partition.partition = PartitionId(in.i32());
  header.shard.base = Offset(in.i64());
  header.shard.generation = Generation(in.i32());
  header.position = in.u32();
  bool possible = header.file == file && kind <= static_cast<std::uint8_t>(WalRecordKind::truncate) &&
                  header.payload_size <= kShardSizeMax && header.position <= kShardSizeMax;
  if (!possible) return out;
  header.kind = static_cast<WalRecordKind>(kind);
  auto size = kWalRecordHeaderSize + header.payload_size;
  if (bytes.size() < size) {
    out.state = WalRecordState::more;
    out.needed = size;
    return out;
  }
  out.record.payload = bytes.subspan(kWalRecordHeaderSize, header.payload_size);
  if (crc32c(bytes.subspan(4, size - 4)) == crc) out.state = WalRecordState::whole;
  return out;
}

std::string wal_file_name(std::int64_t number) { return fmt::format("{}{:012}", kFilePrefix, number); }

std::string wal_spare_name(std::int64_t number) { return fmt::format("{}{:012}", kSparePrefix, number); }

bool is_wal_spare_name(std::string_view name) { return name.starts_with(kSparePrefix); }

std::optional<std::int64_t> parse_wal_file_name(std::string_view name) {
  if (!name.starts_with(kFilePrefix)) return std::nullopt;
  auto digits = name.substr(kFilePrefix.size());
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size() || number < 0) return std::nullopt;
  // "wal-7" is no file of ours: what is found by its number is opened by the name that we would give it.
  if (wal_file_name(number) != name) return std::nullopt;
  return number;
}

}  // namespace forelog::log
