// batch_builder.h: makes batches of our own, for internal topics and tests. Uncompressed unless a codec is named.
#pragma once

#include "broker/base/byte_writer.h"
#include "broker/base/ids.h"
#include "broker/log/batch.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace forelog::log {

class BatchBuilder {
 public:
  using Text = std::optional<std::string_view>;
  using Headers = std::initializer_list<std::pair<std::string_view, Text>>;

  explicit BatchBuilder(Offset base_offset = Offset(0)) : base_offset_(base_offset) {}

  // Timestamps are milliseconds since 1970. Returns *this.
  BatchBuilder& add(std::int64_t timestamp, Text key, Text value, Headers headers = {});
  BatchBuilder& producer(ProducerId id, std::int16_t epoch, std::int32_t base_sequence);
  BatchBuilder& codec(Codec codec) { return codec_ = codec, *this; }
  BatchBuilder& transactional() { return attributes_ |= 0x10, *this; }
  BatchBuilder& control() { return attributes_ |= 0x20, *this; }

  std::int32_t count() const { return count_; }
  std::size_t size() const { return kBatchHeaderSize + records_.size(); }  // uncompressed

  // The batch of what was added; at least one record. Leaves the builder empty.
  Buffer build() &&;

 private:
  Offset base_offset_;
  ByteWriter records_;
  std::int32_t count_ = 0;
  std::int64_t base_timestamp_ = kNoTimestamp;
  std::int64_t max_timestamp_ = kNoTimestamp;
  ProducerId producer_id_{-1};
  std::int16_t producer_epoch_ = -1;
  std::int32_t base_sequence_ = -1;
  Codec codec_ = Codec::none;
  std::int16_t attributes_ = 0;
};

}  // namespace forelog::log
