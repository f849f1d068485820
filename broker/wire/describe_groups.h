// describe_groups.h: key 15. State and members of groups.
//
// v3 adds authorised operations; 4 static members; 5 is flexible; 6 says GROUP_ID_NOT_FOUND where older versions
// describe a Dead group.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/authorized_operations.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeGroupsResponse;

struct DescribeGroupsRequest {
  static constexpr ApiKey api = ApiKey::kDescribeGroups;
  using Response = DescribeGroupsResponse;

  std::vector<GroupId> groups;
  bool include_authorized_operations = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("groups", m.groups);
    field("include_authorized_operations", m.include_authorized_operations, since(3));
  };
};

struct DescribeGroupsResponse {
  static constexpr ApiKey api = ApiKey::kDescribeGroups;

  struct Group {
    struct Member {
      MemberId member_id;
      std::optional<std::string> group_instance_id;
      std::string client_id;
      std::string client_host;
      Buffer member_metadata;
      Buffer member_assignment;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("member_id", m.member_id);
        field("group_instance_id", m.group_instance_id, since(4));
        field("client_id", m.client_id);
        field("client_host", m.client_host);
        field("member_metadata", m.member_metadata);
        field("member_assignment", m.member_assignment);
      };
    };

    WireError error_code;
    std::optional<std::string> error_message;
    GroupId group_id;
    std::string group_state;
    std::string protocol_type;
    std::string protocol_data;
    std::vector<Member> members;
    std::int32_t authorized_operations = kNoAuthorizedOperations;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("error_message", m.error_message, since(6));
      field("group_id", m.group_id);
      field("group_state", m.group_state);
      field("protocol_type", m.protocol_type);
      field("protocol_data", m.protocol_data);
      field("members", m.members);
      field("authorized_operations", m.authorized_operations, since(3));
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Group> groups;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("groups", m.groups);
  };
};

}  // namespace forelog::wire
