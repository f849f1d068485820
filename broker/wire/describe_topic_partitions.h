// describe_topic_partitions.h: key 75. Topics and their partitions, page by page.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/authorized_operations.h"
#include "broker/wire/codec.h"

#include <optional>
#include <vector>

namespace forelog::wire {

struct DescribeTopicPartitionsResponse;

struct DescribeTopicPartitionsRequest {
  static constexpr ApiKey api = ApiKey::kDescribeTopicPartitions;
  using Response = DescribeTopicPartitionsResponse;

  struct Topic {
    TopicName name;
    static constexpr auto fields = [](auto& m, auto&& field) { field("name", m.name); };
  };
  struct Cursor {
    TopicName topic_name;
    PartitionId partition_index;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic_name", m.topic_name);
      field("partition_index", m.partition_index);
    };
  };

  std::vector<Topic> topics;
  std::int32_t response_partition_limit = 2000;
  std::optional<Cursor> cursor;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics);
    field("response_partition_limit", m.response_partition_limit);
    field("cursor", m.cursor);
  };
};

struct DescribeTopicPartitionsResponse {
  static constexpr ApiKey api = ApiKey::kDescribeTopicPartitions;

  struct Topic {
    struct Partition {
      WireError error_code;
      PartitionId partition_index;
      BrokerId leader_id{-1};
      Epoch leader_epoch = kNoEpoch;
      std::vector<BrokerId> replica_nodes;
      std::vector<BrokerId> isr_nodes;
      std::optional<std::vector<BrokerId>> eligible_leader_replicas;
      std::optional<std::vector<BrokerId>> last_known_elr;
      std::vector<BrokerId> offline_replicas;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("error_code", m.error_code);
        field("partition_index", m.partition_index);
        field("leader_id", m.leader_id);
        field("leader_epoch", m.leader_epoch);
        field("replica_nodes", m.replica_nodes);
        field("isr_nodes", m.isr_nodes);
        field("eligible_leader_replicas", m.eligible_leader_replicas);
        field("last_known_elr", m.last_known_elr);
        field("offline_replicas", m.offline_replicas);
      };
    };

    WireError error_code;
    std::optional<TopicName> name;
    TopicId topic_id;
    bool is_internal = false;
    std::vector<Partition> partitions;
    std::int32_t topic_authorized_operations = kNoAuthorizedOperations;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("name", m.name);
      field("topic_id", m.topic_id);
      field("is_internal", m.is_internal);
      field("partitions", m.partitions);
      field("topic_authorized_operations", m.topic_authorized_operations);
    };
  };
  struct Cursor {
    TopicName topic_name;
    PartitionId partition_index;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic_name", m.topic_name);
      field("partition_index", m.partition_index);
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Topic> topics;
  std::optional<Cursor> next_cursor;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("topics", m.topics);
    field("next_cursor", m.next_cursor);
  };
};

}  // namespace forelog::wire
