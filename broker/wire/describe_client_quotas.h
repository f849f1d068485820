// describe_client_quotas.h: key 48. Quotas that match a filter. v1 is flexible.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeClientQuotasResponse;

struct DescribeClientQuotasRequest {
  static constexpr ApiKey api = ApiKey::kDescribeClientQuotas;
  using Response = DescribeClientQuotasResponse;

  struct Component {
    std::string entity_type;
    std::int8_t match_type = 0;  // 0 this name, 1 the default, 2 any name
    std::optional<std::string> match;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("entity_type", m.entity_type);
      field("match_type", m.match_type);
      field("match", m.match);
    };
  };

  std::vector<Component> components;
  bool strict = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("components", m.components);
    field("strict", m.strict);
  };
};

struct DescribeClientQuotasResponse {
  static constexpr ApiKey api = ApiKey::kDescribeClientQuotas;

  struct Entry {
    struct Entity {
      std::string entity_type;
      std::optional<std::string> entity_name;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("entity_type", m.entity_type);
        field("entity_name", m.entity_name);
      };
    };
    struct Value {
      std::string key;
      double value = 0;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("key", m.key);
        field("value", m.value);
      };
    };

    std::vector<Entity> entity;
    std::vector<Value> values;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("entity", m.entity);
      field("values", m.values);
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> error_message;
  std::optional<std::vector<Entry>> entries;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code);
    field("error_message", m.error_message);
    field("entries", m.entries);
  };
};

}  // namespace forelog::wire
