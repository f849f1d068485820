// partition_of.h: which partition of __consumer_offsets a group lives in, and so which broker coordinates it.
//
// Pure. Kafka's rule, which tools and other brokers rely on.
#pragma once

#include "broker/base/ids.h"

#include <string_view>

namespace forelog::groups {

inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

// Java's String.hashCode: over UTF-16 code units. Bytes that are no UTF-8 count as U+FFFD, one for each, as far as Java
// does.
std::int32_t java_string_hash(std::string_view utf8);

// `partitions` must be positive.
PartitionId partition_of(const GroupId& group, std::int32_t partitions);

}  // namespace forelog::groups
