// heartbeat.h: key 12. "I am alive", from a member of a classic group. v3 adds static members; 4 is flexible.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>

namespace forelog::wire {

struct HeartbeatResponse;

struct HeartbeatRequest {
  static constexpr ApiKey api = ApiKey::kHeartbeat;
  using Response = HeartbeatResponse;

  GroupId group_id;
  std::int32_t generation_id = 0;
  MemberId member_id;
  std::optional<std::string> group_instance_id;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("group_id", m.group_id);
    field("generation_id", m.generation_id);
    field("member_id", m.member_id);
    field("group_instance_id", m.group_instance_id, since(3));
  };
};

struct HeartbeatResponse {
  static constexpr ApiKey api = ApiKey::kHeartbeat;

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code);
  };
};

}  // namespace forelog::wire
