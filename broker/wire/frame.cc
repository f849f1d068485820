#include "broker/wire/frame.h"

#include "broker/base/byte_reader.h"

#include <algorithm>
#include <string>

namespace forelog::wire {
namespace {

constexpr std::size_t kLengthSize = 4;

}  // namespace

FrameReader::FrameReader(Bytes frame_size_max) : frame_size_max_(frame_size_max), staging_(kStagingSize) {
  CHECK(frame_size_max > 0);
}

MutableByteView FrameReader::space() {
  if (large_.size() > 0) return large_.view().subspan(large_filled_);
  // What is left in front is less than a frame that fits, so moving it to the front makes room.
  if (from_ > 0) {
    std::memmove(staging_.data(), staging_.data() + from_, to_ - from_);
    to_ -= from_;
    from_ = 0;
  }
  CHECK(to_ < staging_.size());  // `next` was called until it yielded nothing
  return staging_.view().subspan(to_);
}

void FrameReader::filled(std::size_t size) {
  if (large_.size() > 0) {
    CHECK(size <= large_.size() - large_filled_);
    large_filled_ += size;
  } else {
    CHECK(size <= staging_.size() - to_);
    to_ += size;
  }
}

Result<std::optional<Buffer>> FrameReader::next() {
  if (broken_) return fail(*broken_);
  if (large_.size() > 0) {
    if (large_filled_ < large_.size()) return std::nullopt;
    begun_size_ = 0;
    large_filled_ = 0;
    return std::move(large_).freeze();
  }
  if (begun_size_ == 0) {
    if (to_ - from_ < kLengthSize) return std::nullopt;
    TRY(begin());
    if (large_.size() > 0) return std::nullopt;
  }
  const auto size = static_cast<std::size_t>(begun_size_);
  if (to_ - from_ < size) return std::nullopt;
  Buffer frame = Buffer::copy_of(ByteView(staging_.data() + from_, size));
  from_ += size;
  begun_size_ = 0;
  return frame;
}

// Takes a length off the staging area, and makes room for its frame if it is large.
Result<void> FrameReader::begin() {
  const std::int32_t size = ByteReader(ByteView(staging_.data() + from_, kLengthSize)).i32();
  // A frame without even an API key is no frame; refusing 0 also keeps "begun" and "between frames" apart.
  if (size <= 0 || size > frame_size_max_) {
    broken_ = Error{ErrorCode::kMalformed, "frame of " + std::to_string(size) + " bytes"};
    return fail(*broken_);
  }
  from_ += kLengthSize;
  begun_size_ = size;
  if (static_cast<std::size_t>(size) <= kStagingSize - kLengthSize) return {};
  large_ = MutableBuffer(static_cast<std::size_t>(size));
  large_filled_ = std::min(to_ - from_, large_.size());
  std::memcpy(large_.data(), staging_.data() + from_, large_filled_);
  from_ += large_filled_;
  return {};
}

}  // namespace forelog::wire
