// create_topics.h: key 19. Create topics.
//
// v4 lets partitions and replication factor be -1 (the broker's defaults); 5 is flexible and returns the settings; 6
// may throttle; 7 returns topic ids. The names timeout_ms and validate_only are Kafka's.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct CreateTopicsResponse;

struct CreateTopicsRequest {
  static constexpr ApiKey api = ApiKey::kCreateTopics;
  using Response = CreateTopicsResponse;

  struct Topic {
    struct ReplicaAssignment {
      PartitionId partition_index;
      std::vector<BrokerId> broker_ids;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("broker_ids", m.broker_ids);
      };
    };
    struct Config {
      std::string name;
      std::optional<std::string> value;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("value", m.value);
      };
    };

    TopicName name;
    std::int32_t num_partitions = 0;
    std::int16_t replication_factor = 0;
    std::vector<ReplicaAssignment> assignments;
    std::vector<Config> configs;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("num_partitions", m.num_partitions);
      field("replication_factor", m.replication_factor);
      field("assignments", m.assignments);
      field("configs", m.configs);
    };
  };

  std::vector<Topic> topics;
  std::int32_t timeout_ms = 60000;
  bool validate_only = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics);
    field("timeout_ms", m.timeout_ms);
    field("validate_only", m.validate_only);
  };
};

struct CreateTopicsResponse {
  static constexpr ApiKey api = ApiKey::kCreateTopics;

  struct Topic {
    struct Config {
      std::string name;
      std::optional<std::string> value;
      bool read_only = false;
      std::int8_t config_source = -1;  // as in DescribeConfigs
      bool is_sensitive = false;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("value", m.value);
        field("read_only", m.read_only);
        field("config_source", m.config_source);
        field("is_sensitive", m.is_sensitive);
      };
    };

    TopicName name;
    TopicId topic_id;
    WireError error_code;
    std::optional<std::string> error_message;
    WireError topic_config_error_code;  // why `configs` is null: the client may not see them
    std::int32_t num_partitions = -1;
    std::int16_t replication_factor = -1;
    std::optional<std::vector<Config>> configs;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("topic_id", m.topic_id, since(7));
      field("error_code", m.error_code);
      field("error_message", m.error_message);
      field("topic_config_error_code", m.topic_config_error_code, tag(0, 5));
      field("num_partitions", m.num_partitions, since(5));
      field("replication_factor", m.replication_factor, since(5));
      field("configs", m.configs, since(5));
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("topics", m.topics);
  };
};

}  // namespace forelog::wire
