// offset_fetch.h: key 9. Committed offsets of groups.
//
// Up to v7 one group in the top-level fields, from v8 several in `groups`. Null topics mean all (v2). v5 adds leader
// epochs; 6 is flexible; 7 adds require_stable; 9 the member epoch; 10 (not served) topic ids.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct OffsetFetchResponse;

struct OffsetFetchRequest {
  static constexpr ApiKey api = ApiKey::kOffsetFetch;
  using Response = OffsetFetchResponse;

  struct Topic {
    TopicName name;
    std::vector<PartitionId> partition_indexes;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partition_indexes", m.partition_indexes);
    };
  };
  struct Group {
    GroupId group_id;
    std::optional<MemberId> member_id;
    std::int32_t member_epoch = -1;
    std::optional<std::vector<Topic>> topics;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("group_id", m.group_id);
      field("member_id", m.member_id, since(9));
      field("member_epoch", m.member_epoch, since(9));
      field("topics", m.topics);
    };
  };

  GroupId group_id;
  std::optional<std::vector<Topic>> topics;
  std::vector<Group> groups;
  bool require_stable = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id, until(7));
    field("topics", m.topics, until(7), nullable_from(2));
    field("groups", m.groups, since(8));
    field("require_stable", m.require_stable, since(7));
  };
};

struct OffsetFetchResponse {
  static constexpr ApiKey api = ApiKey::kOffsetFetch;

  struct Topic {
    struct Partition {
      PartitionId partition_index;
      Offset committed_offset;
      Epoch committed_leader_epoch = kNoEpoch;
      std::optional<std::string> metadata;
      WireError error_code;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("committed_offset", m.committed_offset);
        field("committed_leader_epoch", m.committed_leader_epoch, since(5));
        field("metadata", m.metadata);
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
  struct Group {
    GroupId group_id;
    std::vector<Topic> topics;
    WireError error_code;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("group_id", m.group_id);
      field("topics", m.topics);
      field("error_code", m.error_code);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  WireError error_code;
  std::vector<Group> groups;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(3));
    field("topics", m.topics, until(7));
    field("error_code", m.error_code, since(2), until(7));
    field("groups", m.groups, since(8));
  };
};

}  // namespace forelog::wire
