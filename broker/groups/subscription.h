// subscription.h: the one part of members' metadata that the broker looks into: the topics of a consumer
// (ConsumerProtocol).
//
// Pure. The bytes are a client's: anything may stand there.
#pragma once

#include "broker/base/bytes.h"
#include "broker/groups/offsets.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::groups {

// Topics of a ConsumerProtocolSubscription of any version; none if the bytes are something else.
std::optional<std::set<std::string>> topics_of_subscription(const Buffer& metadata);

// Partitions of a ConsumerProtocolAssignment of any version; none if the bytes are something else.
std::optional<std::vector<TopicPartition>> partitions_of_assignment(const Buffer& assignment);

// Whether an assignment made for one suits the other: for consumers the same topics (what a member owns and where it
// runs may differ after a restart), for other protocol types the same bytes.
bool subscribes_to_the_same(std::string_view protocol_type, const Buffer& a, const Buffer& b);

}  // namespace forelog::groups
