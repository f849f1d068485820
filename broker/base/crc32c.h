// crc32c.h: CRC-32C (Castagnoli), the checksum of record batches and of everything that we store.
#pragma once

#include "broker/base/bytes.h"

#include <cstdint>

namespace forelog {

std::uint32_t crc32c(ByteView bytes);
std::uint32_t crc32c_extend(std::uint32_t crc, ByteView bytes);  // crc32c_extend(crc32c(a), b) == crc32c(a ++ b)

}  // namespace forelog
