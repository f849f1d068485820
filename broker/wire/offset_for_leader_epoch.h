// offset_for_leader_epoch.h: key 23. Where a leader epoch ended. v3 adds the replica id; 4 is flexible.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <vector>

namespace forelog::wire {

struct OffsetForLeaderEpochResponse;

struct OffsetForLeaderEpochRequest {
  static constexpr ApiKey api = ApiKey::kOffsetForLeaderEpoch;
  using Response = OffsetForLeaderEpochResponse;

  struct Topic {
    struct Partition {
      PartitionId partition;
      Epoch current_leader_epoch = kNoEpoch;
      Epoch leader_epoch;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition", m.partition);
        field("current_leader_epoch", m.current_leader_epoch);
        field("leader_epoch", m.leader_epoch);
      };
    };

    TopicName topic;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic);
      field("partitions", m.partitions);
    };
  };

  BrokerId replica_id{-2};
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("replica_id", m.replica_id, since(3));
    field("topics", m.topics);
  };
};

struct OffsetForLeaderEpochResponse {
  static constexpr ApiKey api = ApiKey::kOffsetForLeaderEpoch;

  struct Topic {
    struct Partition {
      WireError error_code;
      PartitionId partition;
      Epoch leader_epoch = kNoEpoch;
      Offset end_offset = kNoOffset;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("error_code", m.error_code);
        field("partition", m.partition);
        field("leader_epoch", m.leader_epoch);
        field("end_offset", m.end_offset);
      };
    };

    TopicName topic;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic);
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
