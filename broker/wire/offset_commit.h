// offset_commit.h: key 8. Commit offsets of a group.
//
// v5 drops retention_time_ms; 6 adds the leader epoch; 7 static members; 8 is flexible; 9 lets members of new-style
// groups commit with their epoch; 10 (not served) names topics by id. Generation -1 and an empty member id is a
// consumer without a group.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct OffsetCommitResponse;

struct OffsetCommitRequest {
  static constexpr ApiKey api = ApiKey::kOffsetCommit;
  using Response = OffsetCommitResponse;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      Offset committed_offset;
      Epoch committed_leader_epoch = kNoEpoch;
      std::optional<std::string> committed_metadata;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("committed_offset", m.committed_offset);
        field("committed_leader_epoch", m.committed_leader_epoch, since(6));
        field("committed_metadata", m.committed_metadata);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
    };
  };

  GroupId group_id;
  std::int32_t generation_id_or_member_epoch = -1;
  MemberId member_id;
  std::optional<std::string> group_instance_id;
  std::int64_t retention_time_ms = -1;  // -1: as long as the broker keeps them
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("generation_id_or_member_epoch", m.generation_id_or_member_epoch);
    field("member_id", m.member_id);
    field("group_instance_id", m.group_instance_id, since(7));
    field("retention_time_ms", m.retention_time_ms, until(4));
    field("topics", m.topics);
  };
};

struct OffsetCommitResponse {
  static constexpr ApiKey api = ApiKey::kOffsetCommit;

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

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(3));
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
