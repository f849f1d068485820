#include "broker/base/crc32c.h"

#include <algorithm>

#include <isa-l/crc.h>

namespace forelog {

std::uint32_t crc32c(ByteView bytes) { return crc32c_extend(0, bytes); }

std::uint32_t crc32c_extend(std::uint32_t crc, ByteView bytes) {
  // ISA-L leaves both inversions to the caller, counts in int, and does not declare its input const.
  constexpr std::size_t kTurn = std::size_t{1} << 30;
  crc = ~crc;
  while (!bytes.empty()) {
    auto turn = bytes.first(std::min(bytes.size(), kTurn));
    auto* data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(turn.data()));  // NOLINT
    crc = crc32_iscsi(data, static_cast<int>(turn.size()), crc);
    bytes = bytes.subspan(turn.size());
  }
  return ~crc;
}

}  // namespace forelog
