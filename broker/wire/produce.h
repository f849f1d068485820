// produce.h: key 0. Append record batches.
//
// v3 is the first with batches of format 2 and the oldest served; 4 lets the broker say KAFKA_STORAGE_ERROR; 7 allows
// zstd; 8 adds record_errors and error_message; 9 is flexible; 10 adds leader hints (KIP-951); 12 and 13 belong to
// transactions V2 and topic ids, and are not served.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct ProduceResponse;

struct ProduceRequest {
  static constexpr ApiKey api = ApiKey::kProduce;
  using Response = ProduceResponse;

  struct Partition {
    PartitionId index;
    Records records;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("index", m.index);
      field("records", m.records);
    };
  };
  struct Topic {
    TopicName name;
    std::vector<Partition> partition_data;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partition_data", m.partition_data);
    };
  };

  std::optional<std::string> transactional_id;
  std::int16_t acks = 0;
  std::int32_t timeout_ms = 0;
  std::vector<Topic> topic_data;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("transactional_id", m.transactional_id, since(3));
    field("acks", m.acks);
    field("timeout_ms", m.timeout_ms);
    field("topic_data", m.topic_data);
  };
};

struct ProduceResponse {
  static constexpr ApiKey api = ApiKey::kProduce;

  struct RecordError {
    std::int32_t batch_index = 0;
    std::optional<std::string> batch_index_error_message;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("batch_index", m.batch_index);
      field("batch_index_error_message", m.batch_index_error_message);
    };
  };
  struct LeaderIdAndEpoch {
    BrokerId leader_id{-1};
    Epoch leader_epoch = kNoEpoch;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("leader_id", m.leader_id);
      field("leader_epoch", m.leader_epoch);
    };
  };
  struct Partition {
    PartitionId index;
    WireError error_code;
    Offset base_offset;
    std::int64_t log_append_time_ms = -1;  // -1: CreateTime
    Offset log_start_offset = kNoOffset;
    std::vector<RecordError> record_errors;
    std::optional<std::string> error_message;
    LeaderIdAndEpoch current_leader;  // on NOT_LEADER_OR_FOLLOWER
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("index", m.index);
      field("error_code", m.error_code);
      field("base_offset", m.base_offset);
      field("log_append_time_ms", m.log_append_time_ms, since(2));
      field("log_start_offset", m.log_start_offset, since(5));
      field("record_errors", m.record_errors, since(8));
      field("error_message", m.error_message, since(8));
      field("current_leader", m.current_leader, tag(0, 10));
    };
  };
  struct Topic {
    TopicName name;
    std::vector<Partition> partition_responses;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partition_responses", m.partition_responses);
    };
  };
  struct NodeEndpoint {
    BrokerId node_id;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("node_id", m.node_id);
      field("host", m.host);
      field("port", m.port);
      field("rack", m.rack);
    };
  };

  std::vector<Topic> responses;
  std::int32_t throttle_time_ms = 0;
  std::vector<NodeEndpoint> node_endpoints;  // of the leaders hinted at
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("responses", m.responses);
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("node_endpoints", m.node_endpoints, tag(0, 10));
  };
};

}  // namespace forelog::wire
