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

// A file whose bytes can be sent without passing through our memory. Any thread may call.
class StoredFile {
 public:
  virtual ~StoredFile() = default;
  virtual int descriptor() const = 0;  // to send from; -1: read it
  // Whether these bytes can be had without waiting for the disk; also false when nobody can tell. Does not block.
  virtual bool is_resident(std::int64_t offset, Bytes size) const = 0;
  // Bytes `[offset, offset + into.size())`; how many there were. May block on the disk.
  virtual std::size_t read(std::int64_t offset, MutableByteView into) const = 0;
};

// A run of bytes that nobody changes any more, kept alive by whoever holds a copy of this handle. Copies and slices are
// cheap and may be held on any core. `size()` of a slice says nothing of what it keeps alive.
//
// The bytes are in memory, unless it was made by `stored`: then they lie in a file, which this keeps open, and only
// sending and slicing are possible. Who does not ask for such buffers never gets one.
class Buffer {
 public:
  Buffer() = default;
  static Buffer stored(std::shared_ptr<const StoredFile> file, std::int64_t offset, std::size_t size);
  static Buffer copy_of(ByteView bytes);
  static Buffer copy_of(std::string_view text) { return copy_of(as_bytes(text)); }
  static Buffer take(std::string text);                 // no copy; the string becomes the owner
  static Buffer view_of_static(std::string_view text);  // for literals only

  const std::byte* data() const {
    CHECK(file_ == nullptr, "bytes in a file are sent, not read");
    return data_;
  }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteView view() const { return {data(), size_}; }
  operator ByteView() const { return view(); }  // NOLINT: a buffer is a view that owns
  std::string_view text() const { return as_text(view()); }

  // Bytes `[from, from + size)`, sharing ownership. The range must lie inside.
  Buffer slice(std::size_t from, std::size_t size) const {
    CHECK(from <= size_ && size <= size_ - from);
    Buffer out = *this;
    if (file_ == nullptr) {
      out.data_ += from;
    } else {
      out.file_offset_ += static_cast<std::int64_t>(from);
    }
    out.size_ = size;
    return out;
  }
  Buffer slice(std::size_t from) const { return slice(from, size_ - from); }

  const StoredFile* file() const { return file_; }  // null: in memory
  std::int64_t file_offset() const { return file_ == nullptr ? 0 : file_offset_; }
  // A copy in memory of what lies in a file, shorter if the file is; may block on the disk.
  Buffer loaded() const;

  friend bool operator==(const Buffer& a, const Buffer& b) { return a.text() == b.text(); }

 private:
  friend class MutableBuffer;
  std::shared_ptr<const void> owner_;
  union {
    const std::byte* data_ = nullptr;
    std::int64_t file_offset_;  // when `file_` is set
  };
  std::size_t size_ = 0;
  const StoredFile* file_ = nullptr;  // what `owner_` owns, if that is a file
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
