// The records inside a batch: the only place where a payload is opened.
#include "broker/base/byte_reader.h"
#include "broker/base/limits.h"
#include "broker/log/batch.h"

#include <algorithm>

namespace forelog::log {
namespace {

std::unexpected<Error> malformed(BatchView batch, const char* what) {
  return fail(ErrorCode::kCorruptMessage,
              "batch at offset " + std::to_string(batch.base_offset().value()) + ": " + what);
}

// A length of -1 stands for null, any other negative one is a lie.
std::optional<ByteView> nullable(ByteReader& in) {
  auto size = in.varint();
  if (size == -1) return std::nullopt;
  return in.bytes(size);
}

}  // namespace

Result<Records> Records::open(BatchView batch, Bytes size_max) {
  if (batch.codec_bits() == 0) return Records(batch, {}, batch.records());
  if (batch.codec_bits() > static_cast<int>(Codec::zstd)) return malformed(batch, "no such codec");
  auto opened = TRY(decompress(batch.codec(), batch.records(), size_max));
  ByteView rest = opened;
  return Records(batch, std::move(opened), rest);
}

Result<bool> Records::next(Record& record) {
  if (seen_ == batch_.record_count()) {
    if (!rest_.empty()) return malformed(batch_, "bytes after the last record");
    return false;
  }
  ByteReader in(rest_);
  auto size = in.varint();
  ByteReader fields(in.bytes(size));
  if (!in.ok()) return malformed(batch_, "a record is cut off");

  fields.i8();  // attributes: none are defined
  auto timestamp_delta = fields.varlong();
  auto offset_delta = fields.varint();
  if (offset_delta <= last_delta_ || offset_delta > batch_.last_offset_delta()) {
    return malformed(batch_, "a record's offset is out of order");
  }
  record.offset = batch_.base_offset() + offset_delta;
  // Deltas wrap rather than overflow: the bytes may say anything.
  record.timestamp = static_cast<std::int64_t>(static_cast<std::uint64_t>(batch_.base_timestamp()) +
                                               static_cast<std::uint64_t>(timestamp_delta));
  if (batch_.timestamp_type() == TimestampType::log_append_time) record.timestamp = batch_.max_timestamp();
  record.key = nullable(fields);
  record.value = nullable(fields);
  auto headers = fields.varint();
  record.headers.clear();
  if (headers < 0) return malformed(batch_, "a negative header count");
  for (std::int32_t i = 0; i < headers && fields.ok(); ++i) {
    RecordHeader header;
    header.key = fields.text(fields.varint());
    header.value = nullable(fields);
    record.headers.push_back(header);
  }
  if (!fields.ok() || !fields.at_end()) return malformed(batch_, "a record does not fill its length");
  rest_ = rest_.subspan(in.position());
  last_delta_ = offset_delta;
  ++seen_;
  return true;
}

Result<std::optional<TimestampedOffset>> find_by_time(BatchView batch, std::int64_t timestamp, Bytes size_max,
                                                      Offset from) {
  if (batch.max_timestamp() < timestamp || batch.record_count() == 0 || batch.last_offset() < from) return std::nullopt;
  if (batch.timestamp_type() == TimestampType::log_append_time) {
    return TimestampedOffset{batch.max_timestamp(), std::max(batch.base_offset(), from)};
  }
  auto records = TRY(Records::open(batch, size_max));
  for (Record record; TRY(records.next(record));) {
    if (record.timestamp >= timestamp && record.offset >= from)
      return TimestampedOffset{record.timestamp, record.offset};
  }
  return std::nullopt;
}

Result<TimestampedOffset> find_max_timestamp(BatchView batch, Bytes size_max, Offset from) {
  TimestampedOffset best;
  if (batch.record_count() == 0 || batch.last_offset() < from) return best;
  // With LogAppendTime all records have the batch's time; Kafka names the last one then (KAFKA-14477).
  if (batch.timestamp_type() == TimestampType::log_append_time)
    return TimestampedOffset{batch.max_timestamp(), batch.last_offset()};
  auto records = TRY(Records::open(batch, size_max));
  for (Record record; TRY(records.next(record));) {
    if (record.offset < from) continue;
    if (best.offset == kNoOffset || record.timestamp > best.timestamp) best = {record.timestamp, record.offset};
  }
  return best;
}

}  // namespace forelog::log
