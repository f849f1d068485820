// sync_group.h: key 14. Hand in (leader) and fetch the assignment of a classic group.
//
// v3 adds static members; 4 is flexible; 5 repeats the protocol for a check.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct SyncGroupResponse;

struct SyncGroupRequest {
  static constexpr ApiKey api = ApiKey::kSyncGroup;
  using Response = SyncGroupResponse;

  struct Assignment {
    MemberId member_id;
    Buffer assignment;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("member_id", m.member_id);
      field("assignment", m.assignment);
    };
  };

  GroupId group_id;
  std::int32_t generation_id = 0;
  MemberId member_id;
  std::optional<std::string> group_instance_id;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  std::vector<Assignment> assignments;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("generation_id", m.generation_id);
    field("member_id", m.member_id);
    field("group_instance_id", m.group_instance_id, since(3));
    field("protocol_type", m.protocol_type, since(5));
    field("protocol_name", m.protocol_name, since(5));
    field("assignments", m.assignments);
  };
};

struct SyncGroupResponse {
  static constexpr ApiKey api = ApiKey::kSyncGroup;

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  Buffer assignment;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code);
    field("protocol_type", m.protocol_type, since(5));
    field("protocol_name", m.protocol_name, since(5));
    field("assignment", m.assignment);
  };
};

}  // namespace forelog::wire
