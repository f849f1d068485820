#include "broker/log/batch_builder.h"

#include "broker/base/crc32c.h"

#include <algorithm>

namespace forelog::log {
namespace {

void put_nullable(ByteWriter& out, const BatchBuilder::Text& text) {
  out.varint(text ? static_cast<std::int32_t>(text->size()) : -1);
  if (text) out.text(*text);
}

}  // namespace

BatchBuilder& BatchBuilder::add(std::int64_t timestamp, Text key, Text value, Headers headers) {
  if (count_ == 0) base_timestamp_ = max_timestamp_ = timestamp;
  max_timestamp_ = std::max(max_timestamp_, timestamp);
  ByteWriter record;
  record.i8(0);
  record.varlong(timestamp - base_timestamp_);
  record.varint(count_++);
  put_nullable(record, key);
  put_nullable(record, value);
  record.varint(static_cast<std::int32_t>(headers.size()));
  for (const auto& [name, content] : headers) {
    put_nullable(record, name);
    put_nullable(record, content);
  }
  records_.varint(static_cast<std::int32_t>(record.size()));
  records_.bytes(record.view());
  return *this;
}

BatchBuilder& BatchBuilder::producer(ProducerId id, std::int16_t epoch, std::int32_t base_sequence) {
  producer_id_ = id;
  producer_epoch_ = epoch;
  base_sequence_ = base_sequence;
  return *this;
}

Buffer BatchBuilder::build() && {
  CHECK(count_ > 0, "a batch has records");
  auto payload = std::move(records_).take_buffer();
  if (codec_ != Codec::none) {
    auto packed = compress(codec_, payload);
    CHECK(packed.has_value(), "compressing our own bytes fails only without memory");
    payload = *std::move(packed);
  }
  ByteWriter out;
  out.reserve(kBatchHeaderSize + payload.size());
  out.i64(base_offset_.value());
  out.i32(static_cast<std::int32_t>(kBatchHeaderSize - kBatchLengthEnd + payload.size()));
  out.i32(-1);  // leader epoch
  out.i8(2);
  out.u32(0);  // checksum, below
  out.i16(static_cast<std::int16_t>(attributes_ | static_cast<int>(codec_)));
  out.i32(count_ - 1);
  out.i64(base_timestamp_);
  out.i64(max_timestamp_);
  out.i64(producer_id_.value());
  out.i16(producer_epoch_);
  out.i32(base_sequence_);
  out.i32(count_);
  out.bytes(payload);
  out.patch(17, crc32c(out.view().subspan(21)));
  *this = BatchBuilder(base_offset_);
  return std::move(out).take_buffer();
}

}  // namespace forelog::log
