// delete_topics.h: key 20. Delete topics. Up to v5 by `topic_names`, from v6 by `topics`: name or id. v4 is flexible; 5
// adds messages.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DeleteTopicsResponse;

struct DeleteTopicsRequest {
  static constexpr ApiKey api = ApiKey::kDeleteTopics;
  using Response = DeleteTopicsResponse;

  struct Topic {
    std::optional<TopicName> name;
    TopicId topic_id;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("topic_id", m.topic_id);
    };
  };

  std::vector<Topic> topics;
  std::vector<TopicName> topic_names;
  std::int32_t timeout_ms = 0;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics, since(6));
    field("topic_names", m.topic_names, until(5));
    field("timeout_ms", m.timeout_ms);
  };
};

struct DeleteTopicsResponse {
  static constexpr ApiKey api = ApiKey::kDeleteTopics;

  struct Topic {
    std::optional<TopicName> name;
    TopicId topic_id;
    WireError error_code;
    std::optional<std::string> error_message;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name, nullable_from(6));
      field("topic_id", m.topic_id, since(6));
      field("error_code", m.error_code);
      field("error_message", m.error_message, since(5));
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> responses;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("responses", m.responses);
  };
};

}  // namespace forelog::wire
