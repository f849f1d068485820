// join_group.h: key 11. Become a member of a classic group, and wait for the rebalance.
//
// v1 adds rebalance_timeout_ms (before: the session timeout); 4 lets the broker say MEMBER_ID_REQUIRED; 5 adds static
// members; 6 is flexible; 7 says the protocol type; 8 a reason; 9 lets a returning leader skip the assignment.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct JoinGroupResponse;

struct JoinGroupRequest {
  static constexpr ApiKey api = ApiKey::kJoinGroup;
  using Response = JoinGroupResponse;

  struct Protocol {
    std::string name;
    Buffer metadata;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("metadata", m.metadata);
    };
  };

  GroupId group_id;
  std::int32_t session_timeout_ms = 0;
  std::int32_t rebalance_timeout_ms = -1;
  MemberId member_id;
  std::optional<std::string> group_instance_id;
  std::string protocol_type;
  std::vector<Protocol> protocols;
  std::optional<std::string> reason;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("session_timeout_ms", m.session_timeout_ms);
    field("rebalance_timeout_ms", m.rebalance_timeout_ms, since(1));
    field("member_id", m.member_id);
    field("group_instance_id", m.group_instance_id, since(5));
    field("protocol_type", m.protocol_type);
    field("protocols", m.protocols);
    field("reason", m.reason, since(8));
  };
};

struct JoinGroupResponse {
  static constexpr ApiKey api = ApiKey::kJoinGroup;

  struct Member {
    MemberId member_id;
    std::optional<std::string> group_instance_id;
    Buffer metadata;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("member_id", m.member_id);
      field("group_instance_id", m.group_instance_id, since(5));
      field("metadata", m.metadata);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::int32_t generation_id = -1;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  MemberId leader;
  bool skip_assignment = false;
  MemberId member_id;
  std::vector<Member> members;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(2));
    field("error_code", m.error_code);
    field("generation_id", m.generation_id);
    field("protocol_type", m.protocol_type, since(7));
    field("protocol_name", m.protocol_name, nullable_from(7));
    field("leader", m.leader);
    field("skip_assignment", m.skip_assignment, since(9));
    field("member_id", m.member_id);
    field("members", m.members);
  };
};

}  // namespace forelog::wire
