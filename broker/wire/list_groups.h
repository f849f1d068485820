// list_groups.h: key 16. The groups that this broker coordinates. v3 is flexible; 4 adds states; 5 types.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <string>
#include <vector>

namespace forelog::wire {

struct ListGroupsResponse;

struct ListGroupsRequest {
  static constexpr ApiKey api = ApiKey::kListGroups;
  using Response = ListGroupsResponse;

  std::vector<std::string> states_filter;
  std::vector<std::string> types_filter;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("states_filter", m.states_filter, since(4));
    field("types_filter", m.types_filter, since(5));
  };
};

struct ListGroupsResponse {
  static constexpr ApiKey api = ApiKey::kListGroups;

  struct Group {
    GroupId group_id;
    std::string protocol_type;
    std::string group_state;
    std::string group_type;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("group_id", m.group_id);
      field("protocol_type", m.protocol_type);
      field("group_state", m.group_state, since(4));
      field("group_type", m.group_type, since(5));
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::vector<Group> groups;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code);
    field("groups", m.groups);
  };
};

}  // namespace forelog::wire
