// delete_groups.h: key 42. Delete groups without members. v2 is flexible. The name groups_names is Kafka's.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <vector>

namespace forelog::wire {

struct DeleteGroupsResponse;

struct DeleteGroupsRequest {
  static constexpr ApiKey api = ApiKey::kDeleteGroups;
  using Response = DeleteGroupsResponse;

  std::vector<GroupId> groups_names;
  static constexpr auto fields = [](auto& m, auto&& field) { field("groups_names", m.groups_names); };
};

struct DeleteGroupsResponse {
  static constexpr ApiKey api = ApiKey::kDeleteGroups;

  struct Group {
    GroupId group_id;
    WireError error_code;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("group_id", m.group_id);
      field("error_code", m.error_code);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Group> results;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("results", m.results);
  };
};

}  // namespace forelog::wire
