// list_partition_reassignments.h: key 46. Reassignments in progress. Null topics mean all.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct ListPartitionReassignmentsResponse;

struct ListPartitionReassignmentsRequest {
  static constexpr ApiKey api = ApiKey::kListPartitionReassignments;
  using Response = ListPartitionReassignmentsResponse;

  struct Topic {
    TopicName name;
    std::vector<PartitionId> partition_indexes;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partition_indexes", m.partition_indexes);
    };
  };

  std::int32_t timeout_ms = 60000;
  std::optional<std::vector<Topic>> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("timeout_ms", m.timeout_ms);
    field("topics", m.topics);
  };
};

struct ListPartitionReassignmentsResponse {
  static constexpr ApiKey api = ApiKey::kListPartitionReassignments;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      std::vector<BrokerId> replicas;
      std::vector<BrokerId> adding_replicas;
      std::vector<BrokerId> removing_replicas;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("replicas", m.replicas);
        field("adding_replicas", m.adding_replicas);
        field("removing_replicas", m.removing_replicas);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> error_message;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code);
    field("error_message", m.error_message);
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
