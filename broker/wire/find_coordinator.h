// find_coordinator.h: key 10. Which broker coordinates a group or transactional id.
//
// Up to v3 one key in `key` and one answer in the top-level fields, from v4 lists. v1 adds key_type (0 group, 1
// transactional id; 2, share groups, is not served); 3 is flexible; 5 and 6 only allow new error codes and key types.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct FindCoordinatorResponse;

struct FindCoordinatorRequest {
  static constexpr ApiKey api = ApiKey::kFindCoordinator;
  using Response = FindCoordinatorResponse;

  std::string key;
  std::int8_t key_type = 0;  // 0: group, 1: transactional id
  std::vector<std::string> coordinator_keys;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("key", m.key, until(3));
    field("key_type", m.key_type, since(1));
    field("coordinator_keys", m.coordinator_keys, since(4));
  };
};

struct FindCoordinatorResponse {
  static constexpr ApiKey api = ApiKey::kFindCoordinator;

  struct Coordinator {
    std::string key;
    BrokerId node_id{-1};
    std::string host;
    std::int32_t port = 0;
    WireError error_code;
    std::optional<std::string> error_message;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("key", m.key);
      field("node_id", m.node_id);
      field("host", m.host);
      field("port", m.port);
      field("error_code", m.error_code);
      field("error_message", m.error_message);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> error_message;
  BrokerId node_id{-1};
  std::string host;
  std::int32_t port = 0;
  std::vector<Coordinator> coordinators;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code, until(3));
    field("error_message", m.error_message, since(1), until(3));
    field("node_id", m.node_id, until(3));
    field("host", m.host, until(3));
    field("port", m.port, until(3));
    field("coordinators", m.coordinators, since(4));
  };
};

}  // namespace forelog::wire
