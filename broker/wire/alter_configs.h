// alter_configs.h: key 33. Replace all settings of resources: what is not named falls back to its default. v2 is
// flexible.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct AlterConfigsResponse;

struct AlterConfigsRequest {
  static constexpr ApiKey api = ApiKey::kAlterConfigs;
  using Response = AlterConfigsResponse;

  struct Resource {
    struct Config {
      std::string name;
      std::optional<std::string> value;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("value", m.value);
      };
    };

    std::int8_t resource_type = 0;
    std::string resource_name;
    std::vector<Config> configs;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("resource_type", m.resource_type);
      field("resource_name", m.resource_name);
      field("configs", m.configs);
    };
  };

  std::vector<Resource> resources;
  bool validate_only = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("resources", m.resources);
    field("validate_only", m.validate_only);
  };
};

struct AlterConfigsResponse {
  static constexpr ApiKey api = ApiKey::kAlterConfigs;

  struct Resource {
    WireError error_code;
    std::optional<std::string> error_message;
    std::int8_t resource_type = 0;
    std::string resource_name;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("error_message", m.error_message);
      field("resource_type", m.resource_type);
      field("resource_name", m.resource_name);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Resource> responses;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("responses", m.responses);
  };
};

}  // namespace forelog::wire
