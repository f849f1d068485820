// compression.h: the codecs of record batches. Output is bounded by the caller, whatever the input claims.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"

#include <cstdint>
#include <string_view>

namespace forelog::log {

enum class Codec : std::uint8_t {
  none = 0,
  gzip = 1,
  snappy = 2,
  lz4 = 3,
  zstd = 4
};  // bits 0-2 of a batch's attributes

std::string_view name_of(Codec codec);

// What `bytes` stand for. Snappy is read raw (librdkafka) and in xerial frames (Java). Fails CorruptMessage when the
// bytes are not of the codec, MessageTooLarge when there are more than `size_max`.
Result<Buffer> decompress(Codec codec, ByteView bytes, Bytes size_max);

// Snappy is written raw, LZ4 and zstd as frames: forms that every client reads.
Result<Buffer> compress(Codec codec, ByteView bytes);

}  // namespace forelog::log
