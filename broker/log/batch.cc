#include "broker/log/batch.h"

#include "broker/base/crc32c.h"
#include "broker/base/limits.h"

#include <string>

namespace forelog::log {
namespace {

constexpr std::size_t kCrcFrom = 21;  // the checksum covers attributes to end
constexpr std::int8_t kMagic = 2;

template <class T>
void put(MutableByteView batch, std::size_t at, T value) {
  CHECK(at + sizeof(T) <= batch.size());
  value = std::byteswap(value);
  std::memcpy(batch.data() + at, &value, sizeof(T));
}

std::string place(BatchView batch) { return "batch at offset " + std::to_string(batch.base_offset().value()); }

// Counts that every sound batch has, wherever it comes from. Compaction may leave fewer records than offsets.
Result<void> check_counts(BatchView batch) {
  if (batch.base_offset().value() < 0 || batch.last_offset_delta() < 0 || batch.record_count() < 0 ||
      batch.record_count() - 1 > batch.last_offset_delta() ||
      batch.base_offset().value() > INT64_MAX - batch.last_offset_delta() - 1) {
    return fail(ErrorCode::kCorruptMessage, place(batch) + ": impossible counts");
  }
  return {};
}

Result<void> check_timestamp(BatchView batch, const BatchRules& rules) {
  if (rules.log_append_time) return {};
  auto now = to_ms(rules.now);
  auto newest = batch.max_timestamp();
  auto oldest = batch.has_delete_horizon() ? newest : batch.base_timestamp();
  // Differences saturate: a hostile timestamp may lie anywhere in 64 bits.
  auto distance = [](std::int64_t from, std::int64_t to) {
    std::int64_t out = 0;
    return __builtin_sub_overflow(to, from, &out) ? (to > from ? INT64_MAX : INT64_MIN) : out;
  };
  auto outside = [&](std::int64_t t) {
    return distance(t, now) > rules.timestamp_before_max_ms || distance(now, t) > rules.timestamp_after_max_ms;
  };
  if (newest == kNoTimestamp && oldest == kNoTimestamp) return {};  // a producer without a clock
  if (!outside(newest) && !outside(oldest)) return {};
  return fail(ErrorCode::kInvalidTimestamp,
              "timestamps " + std::to_string(oldest) + " to " + std::to_string(newest) + " at " + std::to_string(now));
}

Result<void> check_records(BatchView batch, const BatchRules& rules) {
  auto records = TRY(Records::open(batch, kBatchSizeMax));
  Record record;
  std::int32_t index = 0;
  for (; TRY(records.next(record)); ++index) {
    if (record.offset - batch.base_offset() != index) {
      return fail(ErrorCode::kInvalidRecord, "record " + std::to_string(index) + ": offsets are not contiguous");
    }
    if (rules.keys_required && !record.key) {
      return fail(ErrorCode::kInvalidRecord, "record " + std::to_string(index) + ": a compacted topic needs a key");
    }
  }
  return {};
}

}  // namespace

std::optional<std::size_t> BatchView::size_of(ByteView bytes) {
  if (bytes.size() < kBatchLengthEnd) return std::nullopt;
  std::int32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, sizeof length);
  length = std::byteswap(length);
  if (length < static_cast<std::int32_t>(kBatchHeaderSize - kBatchLengthEnd) || length > kBatchSizeMax)
    return std::nullopt;
  return kBatchLengthEnd + static_cast<std::size_t>(length);
}

Result<BatchView> BatchView::parse(ByteView bytes) {
  auto size = size_of(bytes);
  if (!size) return fail(ErrorCode::kCorruptMessage, "a batch of impossible length");
  if (*size > bytes.size()) {
    return fail(ErrorCode::kCorruptMessage,
                "a batch of " + std::to_string(*size) + " bytes, cut off after " + std::to_string(bytes.size()));
  }
  if (static_cast<std::int8_t>(bytes[16]) != kMagic) {
    return fail(ErrorCode::kCorruptMessage, "record format " + std::to_string(static_cast<int>(bytes[16])) + ", not 2");
  }
  return BatchView(bytes.first(*size));
}

Result<BatchView> BatchView::parse_header(ByteView bytes) {
  if (bytes.size() < kBatchHeaderSize || !size_of(bytes) || static_cast<std::int8_t>(bytes[16]) != kMagic) {
    return fail(ErrorCode::kCorruptMessage, "no header of a batch");
  }
  return BatchView(bytes.first(kBatchHeaderSize));
}

std::int32_t BatchView::last_sequence() const {
  if (base_sequence() < 0) return -1;
  // After 2^31-1 comes 0.
  return static_cast<std::int32_t>((std::int64_t{base_sequence()} + last_offset_delta()) & INT32_MAX);
}

bool BatchView::crc_matches() const { return crc32c(bytes_.subspan(kCrcFrom)) == crc(); }

Result<BatchView> parse_intact(ByteView bytes) {
  auto batch = TRY(BatchView::parse(bytes));
  TRY(check_counts(batch));
  if (!batch.crc_matches()) return fail(ErrorCode::kCorruptMessage, place(batch) + ": wrong checksum");
  return batch;
}

Result<BatchView> validate(ByteView bytes, const BatchRules& rules) {
  auto batch = TRY(BatchView::parse(bytes));
  if (batch.size() != bytes.size()) return fail(ErrorCode::kInvalidRecord, "more than one batch for a partition");
  if (static_cast<Bytes>(batch.size()) > rules.size_max) {
    return fail(ErrorCode::kMessageTooLarge,
                std::to_string(batch.size()) + " bytes, at most " + std::to_string(rules.size_max));
  }
  if (!batch.crc_matches()) return fail(ErrorCode::kCorruptMessage, "wrong checksum");
  if (batch.record_count() < 1 || batch.last_offset_delta() != batch.record_count() - 1) {
    return fail(ErrorCode::kInvalidRecord, "record count and last offset disagree");
  }
  // The leader numbers the records anew; but until then their offsets are computed from what the producer wrote.
  if (batch.base_offset().value() > INT64_MAX - batch.record_count()) {
    return fail(ErrorCode::kInvalidRecord, "offsets beyond 64 bits");
  }
  // The shortest record takes 7 bytes; a count beyond that is a lie that only an opened batch would show.
  if (batch.codec_bits() == 0 && batch.records().size() / 7 < static_cast<std::size_t>(batch.record_count())) {
    return fail(ErrorCode::kInvalidRecord, "more records than bytes for them");
  }
  if (batch.codec_bits() > static_cast<int>(Codec::zstd) || (batch.codec_bits() == 4 && !rules.zstd_allowed)) {
    return fail(ErrorCode::kUnsupportedCompressionType, "codec " + std::to_string(batch.codec_bits()));
  }
  if (batch.is_control() && !rules.control_allowed) {
    return fail(ErrorCode::kInvalidRecord, "clients may not write control batches");
  }
  if (batch.has_delete_horizon()) return fail(ErrorCode::kInvalidRecord, "clients may not set a delete horizon");
  if (batch.has_producer() && (batch.producer_epoch() < 0 || (batch.base_sequence() < 0 && !batch.is_control()))) {
    return fail(ErrorCode::kInvalidRecord, "a producer id without epoch or sequence");
  }
  if (batch.is_transactional() && !batch.has_producer()) {
    return fail(ErrorCode::kInvalidRecord, "a transactional batch without a producer");
  }
  TRY(check_timestamp(batch, rules));
  if (rules.open_records || rules.keys_required) TRY(check_records(batch, rules));
  return batch;
}

void set_base_offset(MutableByteView batch, Offset offset) { put(batch, 0, offset.value()); }

void set_leader_epoch(MutableByteView batch, Epoch epoch) { put(batch, 12, epoch.value()); }

void set_append_time(MutableByteView batch, WallTime now) {
  CHECK(batch.size() >= kBatchHeaderSize);
  std::int16_t attributes = 0;
  std::memcpy(&attributes, batch.data() + kCrcFrom, sizeof attributes);
  put(batch, kCrcFrom, static_cast<std::int16_t>(std::byteswap(attributes) | 0x08));
  put(batch, 35, to_ms(now));
  put(batch, 17, crc32c(ByteView(batch).subspan(kCrcFrom)));
}

MutableByteView writable(const Buffer& unshared) {
  // Buffers are immutable for everybody who got one; the frame's owner hands it over before anybody did.
  return {const_cast<std::byte*>(unshared.data()), unshared.size()};  // NOLINT: see above
}

}  // namespace forelog::log
