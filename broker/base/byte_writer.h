// byte_writer.h: appends big-endian integers, varints and runs of bytes to a growing string of bytes.
#pragma once

#include "broker/base/bytes.h"

#include <bit>
#include <cstdint>
#include <string>

namespace forelog {

class ByteWriter {
 public:
  std::size_t size() const { return out_.size(); }
  void reserve(std::size_t size) { out_.reserve(size); }

  template <class T>
  void integer(T value) {
    if constexpr (sizeof(T) > 1) value = std::byteswap(value);
    out_.append(reinterpret_cast<const char*>(&value), sizeof(T));  // NOLINT: bytes of an integer
  }
  void i8(std::int8_t v) { integer(v); }
  void i16(std::int16_t v) { integer(v); }
  void i32(std::int32_t v) { integer(v); }
  void i64(std::int64_t v) { integer(v); }
  void u8(std::uint8_t v) { integer(v); }
  void u16(std::uint16_t v) { integer(v); }
  void u32(std::uint32_t v) { integer(v); }
  void u64(std::uint64_t v) { integer(v); }
  void f64(double v) { integer(std::bit_cast<std::uint64_t>(v)); }

  void uvarint(std::uint32_t v) { uvarlong(v); }
  void uvarlong(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) out_.push_back(static_cast<char>(v | 0x80));
    out_.push_back(static_cast<char>(v));
  }
  void varint(std::int32_t v) { uvarint((static_cast<std::uint32_t>(v) << 1) ^ static_cast<std::uint32_t>(v >> 31)); }
  void varlong(std::int64_t v) { uvarlong((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63)); }

  void bytes(ByteView v) { out_.append(as_text(v)); }
  void text(std::string_view v) { out_.append(v); }

  // Overwrites an integer written before, for lengths and checksums known only at the end.
  template <class T>
  void patch(std::size_t at, T value) {
    CHECK(at + sizeof(T) <= out_.size());
    if constexpr (sizeof(T) > 1) value = std::byteswap(value);
    std::memcpy(out_.data() + at, &value, sizeof(T));
  }

  ByteView view() const { return as_bytes(out_); }
  std::string take() && { return std::move(out_); }
  Buffer take_buffer() && { return Buffer::take(std::move(out_)); }

 private:
  std::string out_;
};

}  // namespace forelog
