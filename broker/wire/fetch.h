// fetch.h: key 1. Read record batches, as a consumer or a replica.
//
// v4 is the first with batches of format 2 and the oldest served; 5 adds log_start_offset; 7 fetch sessions; 9 the
// leader epoch; 10 allows zstd; 11 reading from the closest replica (KIP-392); 12 is flexible and detects diverging
// epochs; 13 names topics by id; 15 moves the replica id to a tag; 16 adds leader hints; 17 the directory id.
//
// Tag 10000 of a response partition is kept free for our own shard base offset, to be sent to replicas only.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct FetchResponse;

struct FetchRequest {
  static constexpr ApiKey api = ApiKey::kFetch;
  using Response = FetchResponse;

  struct ReplicaState {
    BrokerId replica_id{-1};
    std::int64_t replica_epoch = -1;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("replica_id", m.replica_id);
      field("replica_epoch", m.replica_epoch);
    };
  };
  struct Partition {
    PartitionId partition;
    Epoch current_leader_epoch = kNoEpoch;
    Offset fetch_offset;
    Epoch last_fetched_epoch = kNoEpoch;
    Offset log_start_offset = kNoOffset;  // of the replica that asks
    std::int32_t partition_max_bytes = 0;
    TopicId replica_directory_id;  // a uuid like a topic's
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("partition", m.partition);
      field("current_leader_epoch", m.current_leader_epoch, since(9));
      field("fetch_offset", m.fetch_offset);
      field("last_fetched_epoch", m.last_fetched_epoch, since(12));
      field("log_start_offset", m.log_start_offset, since(5));
      field("partition_max_bytes", m.partition_max_bytes);
      field("replica_directory_id", m.replica_directory_id, tag(0, 17));
    };
  };
  struct Topic {
    TopicName topic;
    TopicId topic_id;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic, until(12));
      field("topic_id", m.topic_id, since(13));
      field("partitions", m.partitions);
    };
  };
  struct ForgottenTopic {
    TopicName topic;
    TopicId topic_id;
    std::vector<PartitionId> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic, until(12));
      field("topic_id", m.topic_id, since(13));
      field("partitions", m.partitions);
    };
  };

  std::optional<std::string> cluster_id;
  BrokerId replica_id{-1};  // see `replica()`
  ReplicaState replica_state;
  std::int32_t max_wait_ms = 0;
  std::int32_t min_bytes = 0;
  std::int32_t max_bytes = std::numeric_limits<std::int32_t>::max();
  std::int8_t isolation_level = 0;  // 0: read uncommitted, 1: read committed
  std::int32_t session_id = 0;
  std::int32_t session_epoch = -1;
  std::vector<Topic> topics;
  std::vector<ForgottenTopic> forgotten_topics_data;
  std::string rack_id;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("cluster_id", m.cluster_id, tag(0, 12));
    field("replica_id", m.replica_id, until(14));
    field("replica_state", m.replica_state, tag(1, 15));
    field("max_wait_ms", m.max_wait_ms);
    field("min_bytes", m.min_bytes);
    field("max_bytes", m.max_bytes, since(3));
    field("isolation_level", m.isolation_level, since(4));
    field("session_id", m.session_id, since(7));
    field("session_epoch", m.session_epoch, since(7));
    field("topics", m.topics);
    field("forgotten_topics_data", m.forgotten_topics_data, since(7));
    field("rack_id", m.rack_id, since(11));
  };

  // Who asks, whatever the version; negative for a consumer.
  BrokerId replica() const { return replica_id.value() >= 0 ? replica_id : replica_state.replica_id; }
};

struct FetchResponse {
  static constexpr ApiKey api = ApiKey::kFetch;

  struct EpochEndOffset {
    Epoch epoch = kNoEpoch;
    Offset end_offset = kNoOffset;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("epoch", m.epoch);
      field("end_offset", m.end_offset);
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
  struct SnapshotId {
    Offset end_offset = kNoOffset;
    Epoch epoch = kNoEpoch;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("end_offset", m.end_offset);
      field("epoch", m.epoch);
    };
  };
  struct AbortedTransaction {
    ProducerId producer_id;
    Offset first_offset;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("producer_id", m.producer_id);
      field("first_offset", m.first_offset);
    };
  };
  struct Partition {
    PartitionId partition_index;
    WireError error_code;
    Offset high_watermark;
    Offset last_stable_offset = kNoOffset;
    Offset log_start_offset = kNoOffset;
    EpochEndOffset diverging_epoch;
    LeaderIdAndEpoch current_leader;
    SnapshotId snapshot_id;
    std::optional<std::vector<AbortedTransaction>> aborted_transactions;  // null: read uncommitted
    BrokerId preferred_read_replica{-1};
    Records records;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("partition_index", m.partition_index);
      field("error_code", m.error_code);
      field("high_watermark", m.high_watermark);
      field("last_stable_offset", m.last_stable_offset, since(4));
      field("log_start_offset", m.log_start_offset, since(5));
      field("diverging_epoch", m.diverging_epoch, tag(0, 12));
      field("current_leader", m.current_leader, tag(1, 12));
      field("snapshot_id", m.snapshot_id, tag(2, 12));
      field("aborted_transactions", m.aborted_transactions, since(4));
      field("preferred_read_replica", m.preferred_read_replica, since(11));
      field("records", m.records);
    };
  };
  struct Topic {
    TopicName topic;
    TopicId topic_id;
    std::vector<Partition> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic, until(12));
      field("topic_id", m.topic_id, since(13));
      field("partitions", m.partitions);
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

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::int32_t session_id = 0;  // 0: no session
  std::vector<Topic> responses;
  std::vector<NodeEndpoint> node_endpoints;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("error_code", m.error_code, since(7));
    field("session_id", m.session_id, since(7));
    field("responses", m.responses);
    field("node_endpoints", m.node_endpoints, tag(0, 16));
  };
};

}  // namespace forelog::wire
