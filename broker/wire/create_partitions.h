// create_partitions.h: key 37. Grow topics to `count` partitions in all. v2 is flexible; 3 may throttle.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct CreatePartitionsResponse;

struct CreatePartitionsRequest {
  static constexpr ApiKey api = ApiKey::kCreatePartitions;
  using Response = CreatePartitionsResponse;

  struct Topic {
    struct Assignment {
      std::vector<BrokerId> broker_ids;
      static constexpr auto fields = [](auto& m, auto&& field) { field("broker_ids", m.broker_ids); };
    };

    TopicName name;
    std::int32_t count = 0;
    std::optional<std::vector<Assignment>> assignments;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("count", m.count);
      field("assignments", m.assignments);
    };
  };

  std::vector<Topic> topics;
  std::int32_t timeout_ms = 0;
  bool validate_only = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics);
    field("timeout_ms", m.timeout_ms);
    field("validate_only", m.validate_only);
  };
};

struct CreatePartitionsResponse {
  static constexpr ApiKey api = ApiKey::kCreatePartitions;

  struct Topic {
    TopicName name;
    WireError error_code;
    std::optional<std::string> error_message;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("error_code", m.error_code);
      field("error_message", m.error_message);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> results;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("results", m.results);
  };
};

}  // namespace forelog::wire
