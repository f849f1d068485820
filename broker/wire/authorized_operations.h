// authorized_operations.h: the bit field of operations that a client may do; filled in only when it asks.
#pragma once

#include <cstdint>
#include <limits>

namespace forelog::wire {

// "Nobody asked."
inline constexpr std::int32_t kNoAuthorizedOperations = std::numeric_limits<std::int32_t>::min();

// Everything that Kafka's AclOperation has for the kind of resource: what a client may do where nobody forbids
// anything. Bits: read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe configs 10,
// alter configs 11, idempotent write 12.
inline constexpr std::int32_t kAllTopicOperations =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
inline constexpr std::int32_t kAllClusterOperations = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
inline constexpr std::int32_t kAllGroupOperations = 1 << 3 | 1 << 6 | 1 << 8;

}  // namespace forelog::wire
