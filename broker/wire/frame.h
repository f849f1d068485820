// frame.h: a byte stream cut into frames, each an int32 length and that many bytes.
//
// Pure: the caller reads from its connection into `space()` and says how much came. Small frames pass through a staging
// area, so that one read may bring several requests; a large frame gets a buffer of its own, into which the rest of it
// is read directly. Memory a peer can claim by a length alone is address space: it is touched only as bytes arrive.
// A caller with a budget asks `begun_size()` before it reads on.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"

#include <cstddef>
#include <optional>

namespace forelog::wire {

class FrameReader {
 public:
  // Frames longer than `frame_size_max` (socket.request.max.bytes) are refused.
  explicit FrameReader(Bytes frame_size_max);

  // Where the next bytes of the stream go; never empty. Valid until the next call of any other method.
  MutableByteView space();
  // The first `size` bytes of `space()` have been filled.
  void filled(std::size_t size);

  // The next whole frame, without its length; nothing if more bytes are needed. Malformed, for good, after a length
  // that is negative or too large: the stream has no meaning from there on. Call until it yields nothing.
  Result<std::optional<Buffer>> next();

  // Size of the frame of which a part has arrived; 0 between frames.
  Bytes begun_size() const { return begun_size_; }

 private:
  static constexpr std::size_t kStagingSize = 4096;

  Result<void> begin();

  Bytes frame_size_max_;
  MutableBuffer staging_;  // bytes [from_, to_) have arrived and belong to no frame yet
  std::size_t from_ = 0;
  std::size_t to_ = 0;
  MutableBuffer large_;  // the frame begun, if it does not fit into staging; `large_filled_` bytes have arrived
  std::size_t large_filled_ = 0;
  Bytes begun_size_ = 0;
  std::optional<Error> broken_;
};

}  // namespace forelog::wire
