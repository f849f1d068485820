// coordinator_records.h: keys and values of __consumer_offsets, byte for byte as Kafka writes them, so that its tools
// can read the topic.
//
// Each key and value starts with an int16 version. In a key that number says what the record is: 0 and 1 a committed
// offset, 2 a classic group; higher ones are of group types that this broker does not have. A record without a value
// deletes what its key names.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace forelog::wire {

struct OffsetCommitKey {
  static constexpr VersionRange versions{0, 1};
  static constexpr Version flexible_since = kNever;
  static constexpr Version written = 1;

  GroupId group;
  TopicName topic;
  PartitionId partition;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group", m.group);
    field("topic", m.topic);
    field("partition", m.partition);
  };
};

// v1 has an expiry time of its own; 3 the leader epoch; 4 is flexible.
struct OffsetCommitValue {
  static constexpr VersionRange versions{0, 4};
  static constexpr Version flexible_since = 4;
  static constexpr Version written = 3;
  static constexpr Version written_with_expiry = 1;  // the only version that has `expire_timestamp`

  Offset offset;
  Epoch leader_epoch = kNoEpoch;
  std::string metadata;
  std::int64_t commit_timestamp = 0;   // ms since 1970
  std::int64_t expire_timestamp = -1;  // -1: by the broker's retention
  TopicId topic_id;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("offset", m.offset);
    field("leader_epoch", m.leader_epoch, since(3));
    field("metadata", m.metadata);
    field("commit_timestamp", m.commit_timestamp);
    field("expire_timestamp", m.expire_timestamp, since(1), until(1));
    field("topic_id", m.topic_id, tag(0, 4));
  };
};

struct GroupMetadataKey {
  static constexpr VersionRange versions{2, 2};
  static constexpr Version flexible_since = kNever;
  static constexpr Version written = 2;

  GroupId group;
  static constexpr auto fields = [](auto& m, auto&& field) { field("group", m.group); };
};

// v1 adds the rebalance timeout; 2 the time of the last change; 3 static members; 4 is flexible.
struct GroupMetadataValue {
  static constexpr VersionRange versions{0, 4};
  static constexpr Version flexible_since = 4;
  static constexpr Version written = 3;

  struct Member {
    MemberId member_id;
    std::optional<std::string> group_instance_id;
    std::string client_id;
    std::string client_host;
    std::int32_t rebalance_timeout = -1;  // ms
    std::int32_t session_timeout = 0;     // ms
    Buffer subscription;
    Buffer assignment;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("member_id", m.member_id);
      field("group_instance_id", m.group_instance_id, since(3));
      field("client_id", m.client_id);
      field("client_host", m.client_host);
      field("rebalance_timeout", m.rebalance_timeout, since(1));
      field("session_timeout", m.session_timeout);
      field("subscription", m.subscription);
      field("assignment", m.assignment);
    };
  };

  std::string protocol_type;
  std::int32_t generation = 0;
  std::optional<std::string> protocol;
  std::optional<MemberId> leader;
  std::int64_t current_state_timestamp = -1;  // ms since 1970
  std::vector<Member> members;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("protocol_type", m.protocol_type);
    field("generation", m.generation);
    field("protocol", m.protocol);
    field("leader", m.leader);
    field("current_state_timestamp", m.current_state_timestamp, since(2));
    field("members", m.members);
  };
};

// A key of a record type that this broker does not have; such records are left alone.
struct UnknownCoordinatorKey {
  std::int16_t type = 0;
};
using CoordinatorKey = std::variant<OffsetCommitKey, GroupMetadataKey, UnknownCoordinatorKey>;

Result<CoordinatorKey> decode_coordinator_key(const Buffer& key);

}  // namespace forelog::wire
