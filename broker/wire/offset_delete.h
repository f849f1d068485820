// offset_delete.h: key 47. Delete committed offsets of a group.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <vector>

namespace forelog::wire {

struct OffsetDeleteResponse;

struct OffsetDeleteRequest {
  static constexpr ApiKey api = ApiKey::kOffsetDelete;
  using Response = OffsetDeleteResponse;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      static constexpr auto fields = [](auto& m, auto&& field) { field("partition_index", m.partition_index); };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  GroupId group_id;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("topics", m.topics);
  };
};

struct OffsetDeleteResponse {
  static constexpr ApiKey api = ApiKey::kOffsetDelete;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      WireError error_code;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("error_code", m.error_code);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  WireError error_code;
  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("error_code", m.error_code);
    field("throttle_time_ms", m.throttle_time_ms);
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
