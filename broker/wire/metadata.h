// metadata.h: key 3. Brokers, topics, partitions, leaders.
//
// `topics`: in v0 an empty list means all topics; from v1 null means all and empty none. v4 adds
// allow_auto_topic_creation (before: yes); 7 leader epochs; 8 authorised operations; 9 is flexible; 10 adds topic ids;
// 12 lets clients ask by id, with a null name; 13 adds a top-level error.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/authorized_operations.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct MetadataResponse;

struct MetadataRequest {
  static constexpr ApiKey api = ApiKey::kMetadata;
  using Response = MetadataResponse;

  struct Topic {
    TopicId topic_id;
    std::optional<TopicName> name;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic_id", m.topic_id, since(10));
      field("name", m.name, nullable_from(10));
    };
  };

  std::optional<std::vector<Topic>> topics;
  bool allow_auto_topic_creation = true;
  bool include_cluster_authorized_operations = false;
  bool include_topic_authorized_operations = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topics", m.topics, nullable_from(1));
    field("allow_auto_topic_creation", m.allow_auto_topic_creation, since(4));
    field("include_cluster_authorized_operations", m.include_cluster_authorized_operations, since(8), until(10));
    field("include_topic_authorized_operations", m.include_topic_authorized_operations, since(8));
  };
};

struct MetadataResponse {
  static constexpr ApiKey api = ApiKey::kMetadata;

  struct Broker {
    BrokerId node_id;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("node_id", m.node_id);
      field("host", m.host);
      field("port", m.port);
      field("rack", m.rack, since(1));
    };
  };
  struct Partition {
    WireError error_code;
    PartitionId partition_index;
    BrokerId leader_id{-1};
    Epoch leader_epoch = kNoEpoch;
    std::vector<BrokerId> replica_nodes;
    std::vector<BrokerId> isr_nodes;
    std::vector<BrokerId> offline_replicas;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("partition_index", m.partition_index);
      field("leader_id", m.leader_id);
      field("leader_epoch", m.leader_epoch, since(7));
      field("replica_nodes", m.replica_nodes);
      field("isr_nodes", m.isr_nodes);
      field("offline_replicas", m.offline_replicas, since(5));
    };
  };
  struct Topic {
    WireError error_code;
    std::optional<TopicName> name;  // null only in answer to an unknown id
    TopicId topic_id;
    bool is_internal = false;
    std::vector<Partition> partitions;
    std::int32_t topic_authorized_operations = kNoAuthorizedOperations;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("name", m.name, nullable_from(12));
      field("topic_id", m.topic_id, since(10));
      field("is_internal", m.is_internal, since(1));
      field("partitions", m.partitions);
      field("topic_authorized_operations", m.topic_authorized_operations, since(8));
    };
  };

  std::int32_t throttle_time_ms = 0;
  std::vector<Broker> brokers;
  std::optional<std::string> cluster_id;
  BrokerId controller_id{-1};
  std::vector<Topic> topics;
  std::int32_t cluster_authorized_operations = kNoAuthorizedOperations;
  WireError error_code;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(3));
    field("brokers", m.brokers);
    field("cluster_id", m.cluster_id, since(2));
    field("controller_id", m.controller_id, since(1));
    field("topics", m.topics);
    field("cluster_authorized_operations", m.cluster_authorized_operations, since(8), until(10));
    field("error_code", m.error_code, since(13));
  };
};

}  // namespace forelog::wire
