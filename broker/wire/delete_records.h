// delete_records.h: key 21. Move the start of partitions' logs. Offset -1 means the high watermark. v2 is flexible.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <vector>

namespace forelog::wire {

struct DeleteRecordsResponse;

struct DeleteRecordsRequest {
  static constexpr ApiKey api = ApiKey::kDeleteRecords;
  using Response = DeleteRecordsResponse;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      Offset offset;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("offset", m.offset);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  std::vector<Topic> topics;
  std::int32_t timeout_ms = 0;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics);
    field("timeout_ms", m.timeout_ms);
  };
};

struct DeleteRecordsResponse {
  static constexpr ApiKey api = ApiKey::kDeleteRecords;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      Offset low_watermark;
      WireError error_code;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("low_watermark", m.low_watermark);
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

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
