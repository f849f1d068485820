#include "broker/base/bytes.h"

#include "broker/base/block_memory.h"

namespace forelog {
namespace {

std::shared_ptr<std::byte[]> allocate(std::size_t size) {
  if (size != static_cast<std::size_t>(kBlockSize)) return std::make_shared_for_overwrite<std::byte[]>(size);
  return {BlockMemory::shared().take(), [](std::byte* block) { BlockMemory::shared().give_back(block); }};
}

}  // namespace

Buffer Buffer::copy_of(ByteView bytes) {
  MutableBuffer out(bytes.size());
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return std::move(out).freeze();
}

Buffer Buffer::stored(std::shared_ptr<const StoredFile> file, std::int64_t offset, std::size_t size) {
  Buffer out;
  out.file_ = file.get();
  out.file_offset_ = offset;
  out.size_ = size;
  out.owner_ = std::move(file);
  return out;
}

Buffer Buffer::loaded() const {
  if (file_ == nullptr) return *this;
  MutableBuffer out(size_);
  auto size = file_->read(file_offset_, out.view());
  return std::move(out).freeze(size);
}

Buffer Buffer::take(std::string text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  Buffer out;
  out.data_ = as_bytes(*owner).data();
  out.size_ = owner->size();
  out.owner_ = std::move(owner);
  return out;
}

Buffer Buffer::view_of_static(std::string_view text) {
  Buffer out;
  out.data_ = as_bytes(text).data();
  out.size_ = text.size();
  return out;
}

MutableBuffer::MutableBuffer(std::size_t size) : data_(allocate(size)), size_(size) {}

Buffer MutableBuffer::freeze(std::size_t size) && {
  CHECK(size <= size_);
  Buffer out;
  out.data_ = data_.get();
  out.size_ = size;
  out.owner_ = std::move(data_);
  size_ = 0;
  return out;
}

Bytes total_size(const Slices& slices) {
  Bytes sum = 0;
  for (const auto& slice : slices) sum += static_cast<Bytes>(slice.size());
  return sum;
}

Buffer flatten(const Slices& slices) {
  if (slices.empty()) return {};
  if (slices.size() == 1) return slices.front();
  MutableBuffer out(static_cast<std::size_t>(total_size(slices)));
  std::size_t at = 0;
  for (const auto& slice : slices) {
    if (slice.empty()) continue;
    std::memcpy(out.data() + at, slice.data(), slice.size());
    at += slice.size();
  }
  return std::move(out).freeze();
}

}  // namespace forelog
