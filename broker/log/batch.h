// batch.h: views of record batches, format v2 (magic 2), as Kafka defines it: the unit appended, checksummed and sent.
//
// Pure. Views do not own: the bytes must outlive them. Field positions: reference/protocol.md §5, log/FORMAT.md.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/log/compression.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

namespace forelog::log {

inline constexpr std::size_t kBatchHeaderSize = 61;
inline constexpr std::size_t kBatchLengthEnd = 12;  // batchLength counts the bytes after this position
inline constexpr std::int64_t kNoTimestamp = -1;

enum class TimestampType : std::uint8_t { create_time, log_append_time };

// One whole batch whose length and magic have been checked by `parse`; nothing else is promised of its contents.
class BatchView {
 public:
  // The batch at the start of `bytes`, which may go on after it. Fails CorruptMessage when it is cut off, its length is
  // impossible, or it is not format v2.
  static Result<BatchView> parse(ByteView bytes);
  // A view of the first kBatchHeaderSize bytes of a batch, whose records are elsewhere: only what a header has may be
  // asked of it.
  static Result<BatchView> parse_header(ByteView bytes);
  // Size of the batch that begins `bytes`, if its length is there and possible; the batch itself may be cut off.
  static std::optional<std::size_t> size_of(ByteView bytes);

  ByteView bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }

  Offset base_offset() const { return Offset(get<std::int64_t>(0)); }
  Offset last_offset() const { return base_offset() + last_offset_delta(); }
  Offset end_offset() const { return last_offset() + 1; }
  Epoch leader_epoch() const { return Epoch(get<std::int32_t>(12)); }
  std::uint32_t crc() const { return get<std::uint32_t>(17); }
  std::int16_t attributes() const { return get<std::int16_t>(21); }
  std::int32_t last_offset_delta() const { return get<std::int32_t>(23); }
  std::int64_t base_timestamp() const { return get<std::int64_t>(27); }
  std::int64_t max_timestamp() const { return get<std::int64_t>(35); }
  ProducerId producer_id() const { return ProducerId(get<std::int64_t>(43)); }
  std::int16_t producer_epoch() const { return get<std::int16_t>(51); }
  std::int32_t base_sequence() const { return get<std::int32_t>(53); }
  std::int32_t last_sequence() const;  // wraps after 2^31-1; -1 without a sequence
  std::int32_t record_count() const { return get<std::int32_t>(57); }
  ByteView records() const { return bytes_.subspan(kBatchHeaderSize); }  // compressed if the codec says so

  int codec_bits() const { return attributes() & 7; }  // above 4: no codec that exists
  Codec codec() const { return static_cast<Codec>(codec_bits()); }
  TimestampType timestamp_type() const { return static_cast<TimestampType>((attributes() >> 3) & 1); }
  bool is_transactional() const { return (attributes() & 0x10) != 0; }
  bool is_control() const { return (attributes() & 0x20) != 0; }
  bool has_delete_horizon() const { return (attributes() & 0x40) != 0; }
  bool has_producer() const { return producer_id().value() >= 0; }

  bool crc_matches() const;  // reads the whole batch

 private:
  explicit BatchView(ByteView bytes) : bytes_(bytes) {}
  template <class T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return std::byteswap(value);
  }
  ByteView bytes_;
};

// --- what a leader asks of a produced batch --------------------------------------------------------------------------
struct BatchRules {
  Bytes size_max = 1048588;
  WallTime now{};
  std::int64_t timestamp_before_max_ms = INT64_MAX;  // how far a timestamp may lie behind `now`, or ahead of it
  std::int64_t timestamp_after_max_ms = INT64_MAX;
  bool log_append_time = false;  // then the producer's timestamps do not matter
  bool zstd_allowed = true;      // Produce 7 and above
  bool control_allowed = false;  // clients may not send control batches
  bool keys_required = false;    // compacted topics; opens the batch
  bool open_records = false;     // producer.validation=full: decompress, and check every record
};

// `bytes` must be exactly one sound batch. Errors: CorruptMessage, MessageTooLarge, InvalidTimestamp, InvalidRecord,
// UnsupportedCompressionType.
Result<BatchView> validate(ByteView bytes, const BatchRules& rules);

// Whether the batch at the start of `bytes` is whole, has its checksum and sane counts: the test that recovery makes.
Result<BatchView> parse_intact(ByteView bytes);

// --- stamping --------------------------------------------------------------------------------------------------------
// Base offset and leader epoch lie outside the checksum, so the leader stamps them without a new one.
void set_base_offset(MutableByteView batch, Offset offset);
void set_leader_epoch(MutableByteView batch, Epoch epoch);
// Turns the batch's timestamps into `now` (LogAppendTime), with a new checksum.
void set_append_time(MutableByteView batch, WallTime now);

// The bytes of a received frame, to be stamped before anybody else sees them. Only the one who handed in the frame's
// memory may call this, and only before the buffer is shared.
MutableByteView writable(const Buffer& unshared);

// --- records ---------------------------------------------------------------------------------------------------------
struct RecordHeader {
  std::string_view key;
  std::optional<ByteView> value;
};

struct Record {
  Offset offset;
  std::int64_t timestamp = kNoTimestamp;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
  std::vector<RecordHeader> headers;
};

// The records of one batch, decompressed when needed (at most `size_max` bytes).
//
//   auto records = TRY(Records::open(batch, 64_MiB));
//   for (Record record; TRY(records.next(record));) …
class Records {
 public:
  static Result<Records> open(BatchView batch, Bytes size_max);

  // The next record, in views into this object's or the batch's bytes; false at the end. Fails CorruptMessage on
  // records that are malformed, miscounted, or whose offsets do not lie in the batch in order.
  Result<bool> next(Record& record);

 private:
  Records(BatchView batch, Buffer opened, ByteView rest) : batch_(batch), opened_(std::move(opened)), rest_(rest) {}
  BatchView batch_;
  Buffer opened_;  // empty when the batch is not compressed
  ByteView rest_;
  std::int32_t seen_ = 0;
  std::int32_t last_delta_ = -1;
};

struct TimestampedOffset {
  std::int64_t timestamp = kNoTimestamp;
  Offset offset = kNoOffset;
  friend bool operator==(const TimestampedOffset&, const TimestampedOffset&) = default;
};

// First record of the batch at or after `from` with a timestamp of at least `timestamp`, if any. Opens the batch unless
// LogAppendTime.
Result<std::optional<TimestampedOffset>> find_by_time(BatchView batch, std::int64_t timestamp, Bytes size_max,
                                                      Offset from = Offset(0));
// Record with the largest timestamp of those at or after `from`, the first of several; an offset of -1 when there is
// none.
Result<TimestampedOffset> find_max_timestamp(BatchView batch, Bytes size_max, Offset from = Offset(0));

// --- runs of batches -------------------------------------------------------------------------------------------------
// Calls `visit` for each whole batch in `slices`, read as one run of bytes; batches may straddle slices (then they are
// copied together for the visit). Stops when `visit` returns false. A cut-off batch at the end is left out.
// Fails CorruptMessage at something that is no batch.
Result<void> for_each_batch(const Slices& slices, const std::function<bool(BatchView)>& visit);

// A cut through a run of bytes at batch boundaries.
struct BatchRun {
  Slices bytes;              // whole batches, sharing the memory of the input
  Offset start = kNoOffset;  // of the first batch; may lie before what was asked for
  Offset end = kNoOffset;    // after the last batch; when empty, what was asked for
  std::size_t skipped = 0;   // bytes of batches before the first one taken
  std::size_t needed =
      0;  // when empty because the input ends too early: bytes after `skipped` that a batch needs, or 0
  Bytes size() const { return total_size(bytes); }
};

// The whole batches of `run` from the one that contains `from`, none that begins at or after `limit`, together at most
// `size_max` bytes; but the first one is taken whatever its size when `at_least_one`. Kafka's Fetch rules: the first
// batch may begin below `from`; omitting it would lose records.
Result<BatchRun> take_batches(const Slices& run, Offset from, Offset limit, Bytes size_max, bool at_least_one);

}  // namespace forelog::log
