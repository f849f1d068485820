// describe_producers.h: key 61. Producers that partitions know of.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeProducersResponse;

struct DescribeProducersRequest {
  static constexpr ApiKey api = ApiKey::kDescribeProducers;
  using Response = DescribeProducersResponse;

  struct Topic {
    TopicName name;
    std::vector<PartitionId> partition_indexes;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partition_indexes", m.partition_indexes);
    };
  };

  std::vector<Topic> topics;
  static constexpr auto fields = [](auto& m, auto&& field) { field("topics", m.topics); };
};

struct DescribeProducersResponse {
  static constexpr ApiKey api = ApiKey::kDescribeProducers;

  struct Topic {
    struct Partition {
      struct ProducerState {
        ProducerId producer_id;
        std::int32_t producer_epoch = 0;
        std::int32_t last_sequence = -1;
        std::int64_t last_timestamp = -1;
        std::int32_t coordinator_epoch = 0;
        Offset current_txn_start_offset = kNoOffset;
        static constexpr auto fields = [](auto& m, auto&& field) {
          field("producer_id", m.producer_id);
          field("producer_epoch", m.producer_epoch);
          field("last_sequence", m.last_sequence);
          field("last_timestamp", m.last_timestamp);
          field("coordinator_epoch", m.coordinator_epoch);
          field("current_txn_start_offset", m.current_txn_start_offset);
        };
      };

      PartitionId partition_index;
      WireError error_code;
      std::optional<std::string> error_message;
      std::vector<ProducerState> active_producers;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("partition_index", m.partition_index);
        field("error_code", m.error_code);
        field("error_message", m.error_message);
        field("active_producers", m.active_producers);
      };
    };

    TopicName name;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("partitions", m.partitions);
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
