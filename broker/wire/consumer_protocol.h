// consumer_protocol.h: what consumers put into the `metadata` of JoinGroup and the `assignment` of SyncGroup.
//
// The broker does not need it to run a group; it is read to learn who will read which partitions. Clients of any
// version write it, so it is read as Kafka reads it: a newer version as the newest known, and bytes after it ignored.
// A payload of another protocol type (Kafka Connect's, say) must not be decoded with these.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct ConsumerProtocolTopic {
  TopicName topic;
  std::vector<PartitionId> partitions;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topic", m.topic);
    field("partitions", m.partitions);
  };
};

// v1 adds owned partitions; 2 the generation they are from; 3 the rack.
struct ConsumerProtocolSubscription {
  static constexpr VersionRange versions{0, 3};
  static constexpr Version flexible_since = kNever;
  static constexpr bool later_versions_only_append = true;

  std::vector<TopicName> topics;
  std::optional<Buffer> user_data;
  std::vector<ConsumerProtocolTopic> owned_partitions;
  std::int32_t generation_id = -1;
  std::optional<std::string> rack_id;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics);
    field("user_data", m.user_data);
    field("owned_partitions", m.owned_partitions, since(1));
    field("generation_id", m.generation_id, since(2));
    field("rack_id", m.rack_id, since(3));
  };
};

struct ConsumerProtocolAssignment {
  static constexpr VersionRange versions{0, 3};
  static constexpr Version flexible_since = kNever;
  static constexpr bool later_versions_only_append = true;

  std::vector<ConsumerProtocolTopic> assigned_partitions;
  std::optional<Buffer> user_data;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("assigned_partitions", m.assigned_partitions);
    field("user_data", m.user_data);
  };
};

}  // namespace forelog::wire
