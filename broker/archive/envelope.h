// envelope.h: what a page of JSON stands in when it is an object of the archive: magic, version, CRC-32C, text.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"

#include <cstdint>
#include <string_view>

namespace forelog::archive {

struct Envelope {
  std::uint32_t magic;
  std::int16_t version;   // the one known here
  std::string_view kind;  // "manifest": what it is called in errors
};

Buffer seal(const Envelope& envelope, std::string_view text);

// The text, which lies in `bytes`. CorruptFile, without naming the object: not of this kind, of another version, or
// damaged.
Result<std::string_view> open_sealed(const Envelope& envelope, ByteView bytes);

}  // namespace forelog::archive
