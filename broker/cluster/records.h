// records.h: the znodes of Kafka 3.9, as field lists in the order in which Kafka writes them, and where they lie.
//
// Readers take any order, ignore what they do not know, and take what is missing as default, so versions older than the
// ones written here are read too. zk-schemas/README.md has the whole tree.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/json.h"
#include "broker/base/settings.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forelog::cluster {

// /brokers/ids/<id>, ephemeral.
struct BrokerRecord {
  std::map<std::string, std::int32_t> features;
  std::map<std::string, std::string> listener_security_protocol_map;
  std::vector<std::string> endpoints;  // "PLAINTEXT://host:9092"
  std::optional<std::string> rack;
  std::int32_t jmx_port = -1;
  std::int32_t port = -1;           // of the first PLAINTEXT endpoint
  std::optional<std::string> host;  // null without one
  std::int32_t version = 5;
  std::int64_t timestamp = 0;
  std::optional<std::string> forelog_hints;  // ours: where this broker takes plans
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("features", m.features);
    field("listener_security_protocol_map", m.listener_security_protocol_map);
    field("endpoints", m.endpoints);
    field("rack", m.rack);
    field("jmx_port", m.jmx_port);
    field("port", m.port);
    field("host", m.host, JsonNull{});
    field("version", m.version);
    field("timestamp", m.timestamp, JsonQuoted{});
    field("forelog_hints", m.forelog_hints);
  };
};

using Replicas = std::vector<BrokerId>;

// /brokers/topics/<topic>. Tools of Kafka 2.x and CMAK write it without the id.
struct TopicRecord {
  std::map<PartitionId, Replicas> partitions;
  std::optional<TopicId> topic_id;
  std::map<PartitionId, Replicas> adding_replicas;
  std::map<PartitionId, Replicas> removing_replicas;
  std::int32_t version = 3;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("partitions", m.partitions);
    field("topic_id", m.topic_id);
    field("adding_replicas", m.adding_replicas);
    field("removing_replicas", m.removing_replicas);
    field("version", m.version);
  };
};

// /brokers/topics/<topic>/partitions/<p>/state. The znode's version is the partition epoch.
struct PartitionStateRecord {
  std::int32_t controller_epoch = 0;
  BrokerId leader{-1};
  std::int32_t version = 1;
  Epoch leader_epoch{0};
  Replicas isr;
  std::optional<std::int32_t> leader_recovery_state;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("controller_epoch", m.controller_epoch);
    field("leader", m.leader);
    field("version", m.version);
    field("leader_epoch", m.leader_epoch);
    field("isr", m.isr);
    field("leader_recovery_state", m.leader_recovery_state);
  };
};

// /controller, ephemeral.
struct ControllerRecord {
  std::int32_t version = 2;
  BrokerId brokerid{-1};
  std::int64_t timestamp = 0;
  std::int32_t kraft_controller_epoch = -1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("brokerid", m.brokerid);
    field("timestamp", m.timestamp, JsonQuoted{});
    field("kraftControllerEpoch", m.kraft_controller_epoch);
  };
};

// /config/topics/<topic>, /config/brokers/<id> and the like.
struct ConfigRecord {
  std::int32_t version = 1;
  SettingMap config;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("config", m.config);
  };
};

// /config/changes/config_change_<n>: somebody has changed an entity. Version 1 names it in two parts.
struct ConfigNotification {
  std::int32_t version = 2;
  std::optional<std::string> entity_path;  // "topics/orders", "brokers/1"
  std::optional<std::string> entity_type;
  std::optional<std::string> entity_name;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("entity_path", m.entity_path);
    field("entity_type", m.entity_type);
    field("entity_name", m.entity_name);
  };
};

// /cluster/id.
struct ClusterIdRecord {
  std::int32_t version = 1;
  std::string id;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version, JsonQuoted{});
    field("id", m.id);
  };
};

// /latest_producer_id_block: the last block of producer ids that was given to a broker.
struct ProducerIdBlockRecord {
  std::int32_t version = 1;
  BrokerId broker{-1};
  std::int64_t block_start = 0;
  std::int64_t block_end = -1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("broker", m.broker);
    field("block_start", m.block_start, JsonQuoted{});
    field("block_end", m.block_end, JsonQuoted{});
  };
};

// /feature.
struct FeatureRecord {
  std::map<std::string, std::int32_t> features;
  std::int32_t version = 2;
  std::int32_t status = 1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("features", m.features);
    field("version", m.version);
    field("status", m.status);
  };
};

// /forelog/changes, ours: what the controller changed last, so that a broker waits on one znode whatever the number of
// topics. A broker that has missed more than `recent` holds loads everything again.
struct ChangeNote {
  std::int64_t change = 0;
  std::string topic;  // empty: settings of brokers
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("change", m.change);
    field("topic", m.topic);
  };
};
struct ChangesRecord {
  std::int32_t version = 1;
  std::int64_t last = 0;
  std::vector<ChangeNote> recent;  // ascending, without gap, up to `last`
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("last", m.last);
    field("recent", m.recent);
  };
};
inline constexpr std::size_t kRecentChangesMax = 128;

namespace paths {

inline const std::string kBrokerIds = "/brokers/ids";
inline const std::string kTopics = "/brokers/topics";
inline const std::string kController = "/controller";
inline const std::string kControllerEpoch = "/controller_epoch";
inline const std::string kClusterId = "/cluster/id";
inline const std::string kProducerIds = "/latest_producer_id_block";
inline const std::string kDeleteTopics = "/admin/delete_topics";
inline const std::string kConfigChanges = "/config/changes";
inline const std::string kTopicConfigs = "/config/topics";
inline const std::string kBrokerConfigs = "/config/brokers";
inline const std::string kFeature = "/feature";
inline const std::string kChanges = "/forelog/changes";
inline const std::string kChains = "/forelog/chains";

inline std::string broker(BrokerId id) { return kBrokerIds + "/" + std::to_string(id.value()); }
inline std::string topic(const TopicName& name) { return kTopics + "/" + name.value(); }
inline std::string partitions(const TopicName& name) { return topic(name) + "/partitions"; }
inline std::string partition(const TopicName& name, PartitionId id) {
  return partitions(name) + "/" + std::to_string(id.value());
}
inline std::string state(const TopicName& name, PartitionId id) { return partition(name, id) + "/state"; }
inline std::string delete_topic(const TopicName& name) { return kDeleteTopics + "/" + name.value(); }
inline std::string topic_config(const TopicName& name) { return kTopicConfigs + "/" + name.value(); }
inline std::string broker_config(BrokerId id) { return kBrokerConfigs + "/" + std::to_string(id.value()); }
inline const std::string kBrokerDefaultConfig = kBrokerConfigs + "/<default>";

}  // namespace paths

}  // namespace forelog::cluster
