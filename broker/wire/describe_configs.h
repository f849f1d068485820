// describe_configs.h: key 32. Settings of topics, brokers and other resources.
//
// Resource types: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group. Null keys mean all. v1 adds sources
// and synonyms; 3 types and documentation; 4 is flexible.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeConfigsResponse;

struct DescribeConfigsRequest {
  static constexpr ApiKey api = ApiKey::kDescribeConfigs;
  using Response = DescribeConfigsResponse;

  struct Resource {
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::optional<std::vector<std::string>> configuration_keys;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("resource_type", m.resource_type);
      field("resource_name", m.resource_name);
      field("configuration_keys", m.configuration_keys);
    };
  };

  std::vector<Resource> resources;
  bool include_synonyms = false;
  bool include_documentation = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("resources", m.resources);
    field("include_synonyms", m.include_synonyms);
    field("include_documentation", m.include_documentation, since(3));
  };
};

struct DescribeConfigsResponse {
  static constexpr ApiKey api = ApiKey::kDescribeConfigs;

  struct Result {
    struct Config {
      struct Synonym {
        std::string name;
        std::optional<std::string> value;
        std::int8_t source = 0;  // as config_source
        static constexpr auto fields = [](auto& m, auto&& field) {
          field("name", m.name);
          field("value", m.value);
          field("source", m.source);
        };
      };

      std::string name;
      std::optional<std::string> value;
      bool read_only = false;
      std::int8_t config_source =
          -1;  // 1 topic, 2 dynamic broker, 3 dynamic default broker, 4 static broker, 5 default
      bool is_sensitive = false;
      std::vector<Synonym> synonyms;
      std::int8_t config_type =
          0;  // 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password
      std::optional<std::string> documentation;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("value", m.value);
        field("read_only", m.read_only);
        field("config_source", m.config_source);
        field("is_sensitive", m.is_sensitive);
        field("synonyms", m.synonyms);
        field("config_type", m.config_type, since(3));
        field("documentation", m.documentation, since(3));
      };
    };

    WireError error_code;
    std::optional<std::string> error_message;
    std::int8_t resource_type = 0;
    std::string resource_name;
    std::vector<Config> configs;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("error_message", m.error_message);
      field("resource_type", m.resource_type);
      field("resource_name", m.resource_name);
      field("configs", m.configs);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Result> results;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("results", m.results);
  };
};

}  // namespace forelog::wire
