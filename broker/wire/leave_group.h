// leave_group.h: key 13. Leave a classic group. Up to v2 the sender, from v3 any members; 4 is flexible; 5 adds a
// reason.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct LeaveGroupResponse;

struct LeaveGroupRequest {
  static constexpr ApiKey api = ApiKey::kLeaveGroup;
  using Response = LeaveGroupResponse;

  struct Member {
    MemberId member_id;
    std::optional<std::string> group_instance_id;
    std::optional<std::string> reason;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("member_id", m.member_id);
      field("group_instance_id", m.group_instance_id);
      field("reason", m.reason, since(5));
    };
  };

  GroupId group_id;
  MemberId member_id;
  std::vector<Member> members;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("member_id", m.member_id, until(2));
    field("members", m.members, since(3));
  };
};

struct LeaveGroupResponse {
  static constexpr ApiKey api = ApiKey::kLeaveGroup;

  struct Member {
    MemberId member_id;
    std::optional<std::string> group_instance_id;
    WireError error_code;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("member_id", m.member_id);
      field("group_instance_id", m.group_instance_id);
      field("error_code", m.error_code);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::vector<Member> members;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code);
    field("members", m.members, since(3));
  };
};

}  // namespace forelog::wire
