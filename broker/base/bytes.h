// bytes.h: bytes in memory. `Buffer` is what crosses layers and cores: immutable, ref-counted, sliced without copying.
#pragma once

#include "broker/base/check.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace forelog {

using Bytes = std::int64_t;  // a number of bytes
using ByteView = std::span<const std::byte>;
using MutableByteView = std::span<std::byte>;

inline namespace literals {
constexpr Bytes operator""_KiB(unsigned long long n) { return static_cast<Bytes>(n) << 10; }
constexpr Bytes operator""_MiB(unsigned long long n) { return static_cast<Bytes>(n) << 20; }
constexpr Bytes operator""_GiB(unsigned long long n) { return static_cast<Bytes>(n) << 30; }
constexpr Bytes operator""_TiB(unsigned long long n) { return static_cast<Bytes>(n) << 40; }
}  // namespace literals

inline ByteView as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};  // NOLINT: bytes and chars may alias
}

// A run of bytes that nobody changes any more, kept alive by whoever holds a copy of this handle. Copies and slices are
// cheap and may be held on any core. `size()` of a slice says nothing of what it keeps alive: see `owned()`.
class Buffer {
 public:
  Buffer() = default;
  static Buffer copy_of(ByteView bytes);
  static Buffer copy_of(std::string_view text) { return copy_of(as_bytes(text)); }
  static Buffer take(std::string text);                 // no copy; the string becomes the owner
  static Buffer view_of_static(std::string_view text);  // for literals only

  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteView view() const { return {data_, size_}; }
  operator ByteView() const { return view(); }  // NOLINT: a buffer is a view that owns
  std::string_view text() const { return as_text(view()); }

  // Bytes `[from, from + size)`, sharing ownership. The range must lie inside.
  Buffer slice(std::size_t from, std::size_t size) const {
    CHECK(from <= size_ && size <= size_ - from);
    Buffer out = *this;
    out.data_ += from;
    out.size_ = size;
    return out;
  }
  Buffer slice(std::size_t from) const { return slice(from, size_ - from); }

  friend bool operator==(const Buffer& a, const Buffer& b) { return a.text() == b.text(); }

 private:
  friend class MutableBuffer;
  std::shared_ptr<const void> owner_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Bytes being written by one owner; `freeze` turns them into a Buffer without copying. Contents start undefined.
class MutableBuffer {
 public:
  MutableBuffer() = default;
  explicit MutableBuffer(std::size_t size);

  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  MutableByteView view() { return {data_.get(), size_}; }

  // The first `size` bytes, from now on immutable. Leaves this empty.
  Buffer freeze(std::size_t size) &&;
  Buffer freeze() && { return std::move(*this).freeze(size_); }

 private:
  std::shared_ptr<std::byte[]> data_;
  std::size_t size_ = 0;
};

// Several buffers read as one run of bytes: what a gather write or an answer is made of.
using Slices = std::vector<Buffer>;
Bytes total_size(const Slices& slices);
Buffer flatten(const Slices& slices);  // no copy when there is only one

}  // namespace forelog
