// list_offsets.h: key 2. Offsets by time, and the ends of logs.
//
// Times below 0 are questions: -1 latest, -2 earliest, -3 the record with the largest timestamp (v7), -4 earliest local
// (v8), -5 latest tiered (v9). (-1, -1) without an error means "none". v2 adds the isolation level; 4 leader epochs; 6
// is flexible; 10 (not served) a timeout and 11 the time -6.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <vector>

namespace forelog::wire {

struct ListOffsetsResponse;

struct ListOffsetsRequest {
  static constexpr ApiKey api = ApiKey::kListOffsets;
  using Response = ListOffsetsResponse;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      Epoch current_leader_epoch = kNoEpoch;
      std::int64_t timestamp = 0;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("current_leader_epoch", m.current_leader_epoch, since(4));
        field("timestamp", m.timestamp);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  BrokerId replica_id{-1};          // negative for a consumer
  std::int8_t isolation_level = 0;  // 0: read uncommitted, 1: read committed
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("replica_id", m.replica_id);
    field("isolation_level", m.isolation_level, since(2));
    field("topics", m.topics);
  };
};

struct ListOffsetsResponse {
  static constexpr ApiKey api = ApiKey::kListOffsets;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      WireError error_code;
      std::int64_t timestamp = -1;
      Offset offset = kNoOffset;
      Epoch leader_epoch = kNoEpoch;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("error_code", m.error_code);
        field("timestamp", m.timestamp);
        field("offset", m.offset);
        field("leader_epoch", m.leader_epoch, since(4));
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
    field("throttle_time_ms", m.throttle_time_ms, since(2));
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
