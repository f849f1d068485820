// incremental_alter_configs.h: key 44. Change single settings of resources. Operations: 0 set, 1 delete, 2 append, 3
// subtract. v1 is flexible.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct IncrementalAlterConfigsResponse;

struct IncrementalAlterConfigsRequest {
  static constexpr ApiKey api = ApiKey::kIncrementalAlterConfigs;
  using Response = IncrementalAlterConfigsResponse;

  struct Resource {
    struct Config {
      std::string name;
      std::int8_t config_operation = 0;
      std::optional<std::string> value;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("config_operation", m.config_operation);
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

struct IncrementalAlterConfigsResponse {
  static constexpr ApiKey api = ApiKey::kIncrementalAlterConfigs;

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
