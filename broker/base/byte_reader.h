// byte_reader.h: takes integers, varints and runs of bytes off a view, never past its end.
//
// The first read that does not fit puts the reader into the failed state, in which every later read yields zero or
// nothing; callers may check `ok()` once at the end. Integers are big-endian, as everywhere in Kafka.
#pragma once

#include "broker/base/bytes.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace forelog {

class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()), begin_(bytes.data()) {}

  bool ok() const { return ok_; }
  std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }
  std::size_t position() const { return static_cast<std::size_t>(at_ - begin_); }
  bool at_end() const { return at_ == end_; }
  void fail() { ok_ = false, at_ = end_; }

  template <class T>
  T integer() {
    T value{};
    if (remaining() < sizeof(T)) return fail(), T{};
    std::memcpy(&value, at_, sizeof(T));
    at_ += sizeof(T);
    if constexpr (sizeof(T) > 1) value = std::byteswap(value);
    return value;
  }
  std::int8_t i8() { return integer<std::int8_t>(); }
  std::int16_t i16() { return integer<std::int16_t>(); }
  std::int32_t i32() { return integer<std::int32_t>(); }
  std::int64_t i64() { return integer<std::int64_t>(); }
  std::uint8_t u8() { return integer<std::uint8_t>(); }
  std::uint16_t u16() { return integer<std::uint16_t>(); }
  std::uint32_t u32() { return integer<std::uint32_t>(); }
  std::uint64_t u64() { return integer<std::uint64_t>(); }
  double f64() { return std::bit_cast<double>(integer<std::uint64_t>()); }

  // LEB128 without sign, as compact lengths and tags use it. More than 5 (or 10) bytes, or bits that do not fit, fail.
  std::uint32_t uvarint() {
    auto value = uvarlong();
    if (value > 0xffffffffULL) return fail(), 0;
    return static_cast<std::uint32_t>(value);
  }
  std::uint64_t uvarlong() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto b = u8();
      if (!ok_) return 0;
      if (shift == 63 && b > 1) return fail(), 0;
      value |= std::uint64_t{b & 0x7fU} << shift;
      if ((b & 0x80) == 0) return value;
    }
    return fail(), 0;
  }
  // Zig-zag, as inside records.
  std::int32_t varint() {
    auto raw = uvarint();
    return static_cast<std::int32_t>((raw >> 1) ^ (~(raw & 1) + 1));
  }
  std::int64_t varlong() {
    auto raw = uvarlong();
    return static_cast<std::int64_t>((raw >> 1) ^ (~(raw & 1) + 1));
  }

  // The next `size` bytes, still owned by whoever owns the view. A negative or too large size fails.
  ByteView bytes(std::int64_t size) {
    if (size < 0 || static_cast<std::uint64_t>(size) > remaining()) return fail(), ByteView{};
    ByteView out{at_, static_cast<std::size_t>(size)};
    at_ += size;
    return out;
  }
  std::string_view text(std::int64_t size) { return as_text(bytes(size)); }

 private:
  const std::byte* at_;
  const std::byte* end_;
  const std::byte* begin_;
  bool ok_ = true;
};

}  // namespace forelog
