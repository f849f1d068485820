// wal_format.h: the bytes of the write-ahead log (FORMAT.md). Pure; written by wal, read by recovery and by tools.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/log/wal.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::log {

inline constexpr std::size_t kWalFileHeaderSize = 16;
inline constexpr std::size_t kWalRecordHeaderSize = 64;

enum class WalRecordKind : std::uint8_t {
  data = 0,      // the payload lies at `position` of the shard's segment
  truncate = 1,  // the shard ends at `position`, and no shard of the partition follows it
};

struct WalRecordHeader {
  WalRecordKind kind = WalRecordKind::data;
  std::uint32_t payload_size = 0;
  std::int64_t file = 0;  // number of the file it was written to: what an older life of the file left never matches
  Lsn lsn{0};
  ShardId shard;
  std::uint32_t position = 0;
};

Buffer encode_wal_file_header(std::int64_t number);
// The file's number. Fails CorruptFile.
Result<std::int64_t> decode_wal_file_header(ByteView bytes);
// What to say when the file is of a version that only a newer release reads; nothing when it is not.
std::optional<std::string> newer_wal_version(ByteView bytes);

// The header, with a checksum over itself and `payload`.
Buffer encode_wal_record_header(const WalRecordHeader& header, const Slices& payload);

// The record at the start of `bytes`: its header and its payload in place.
struct WalRecord {
  WalRecordHeader header;
  ByteView payload;
  std::size_t size() const { return kWalRecordHeaderSize + payload.size(); }
};
enum class WalRecordState : std::uint8_t {
  whole,
  more,  // `bytes` end before the record does
  torn,  // not a record of this file: its end, or damage
};
struct WalParse {
  WalRecordState state = WalRecordState::torn;
  WalRecord record;        // when whole
  std::size_t needed = 0;  // when more: bytes that the record takes
};
WalParse parse_wal_record(ByteView bytes, std::int64_t file);

std::string wal_file_name(std::int64_t number);  // "wal-000000000042"
std::optional<std::int64_t> parse_wal_file_name(std::string_view name);
std::string wal_spare_name(std::int64_t number);  // "spare-000000000042": waits to be written anew
bool is_wal_spare_name(std::string_view name);

}  // namespace forelog::log
