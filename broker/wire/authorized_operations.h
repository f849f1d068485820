// authorized_operations.h: the bit field of operations that a client may do; filled in only when it asks.
#pragma once

#include <cstdint>
#include <limits>

namespace forelog::wire {

// "Nobody asked."
inline constexpr std::int32_t kNoAuthorizedOperations = std::numeric_limits<std::int32_t>::min();

}  // namespace forelog::wire
