// controller.h: decides topics, partitions, leaders and settings; the one writer of the cluster's metadata.
//
// One broker is elected (/controller). Every write is a compare-and-set fenced by /controller_epoch. Requests may be
// made on any core: they hop to core 0 and take turns there. Who succeeds sees its change in the calling core's
// ClusterView afterwards. Changes that others make in the tree (scripts that create topics, mark them for deletion or
// change settings) become assignments and a change of the view in the same way.
//
// Errors a client may see: InvalidTopic, TopicAlreadyExists, InvalidPartitions, InvalidReplicationFactor,
// InvalidReplicaAssignment, InvalidConfig, InvalidRequest, UnknownTopicOrPartition, UnknownTopicId, NotController,
// PolicyViolation, Timeout. `context` is the message for the client.
#pragma once

#include "broker/base/settings_catalog.h"
#include "broker/cluster/broker_settings.h"
#include "broker/cluster/cluster_state.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace forelog::cluster {

struct NewTopic {
  TopicName name;
  std::int32_t partitions = -1;                             // -1: num.partitions
  std::int16_t replication_factor = -1;                     // -1: default.replication.factor
  std::map<PartitionId, std::vector<BrokerId>> assignment;  // instead of the two numbers, which are then -1
  SettingMap configs;
};
struct CreatedTopic {
  TopicId id;
  std::int32_t partitions = 0;
  std::int16_t replication_factor = 0;
  SettingMap configs;
};

enum class ConfigOp : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };  // IncrementalAlterConfigs' codes
struct ConfigChange {
  ConfigOp op = ConfigOp::set;
  std::string name;
  std::string value;
};
struct ConfigResource {
  enum class Kind : std::int8_t { topic = 2, broker = 4 };  // Kafka's codes
  Kind kind = Kind::topic;
  std::string name;  // a topic, a broker's id, or empty for all brokers
};

struct ProducerIdBlock {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

// Whether `name` is a legal topic name; else InvalidTopic, with Kafka's reason.
Result<void> check_topic_name(const TopicName& name);

class Controller {
 public:
  // `catalog` outlives this.
  Controller(env::Env& env, ClusterState& state, BrokerId self, const SettingsCatalog& catalog);
  ~Controller();

  // Takes part in the election and, once elected, follows changes made by others. On core 0. Returns when a controller
  // is known; it may be another broker.
  Task<Result<void>> start();
  Task<void> stop();
  bool elected() const;  // core 0

  Task<Result<CreatedTopic>> create_topic(NewTopic topic, bool validate_only, Deadline deadline);
  // With an `id` only the topic that has it, not another that has been made under the name since: else UnknownTopicId.
  Task<Result<void>> delete_topic(TopicName name, std::optional<TopicId> id, Deadline deadline);
  // Grows the topic to `count` partitions; `assignment` holds the replicas of the new ones, or nothing.
  Task<Result<void>> create_partitions(TopicName name, std::int32_t count,
                                       std::vector<std::vector<BrokerId>> assignment, bool validate_only,
                                       Deadline deadline);
  Task<Result<void>> alter_configs(ConfigResource resource, std::vector<ConfigChange> changes, bool validate_only,
                                   Deadline deadline);
  // AlterConfigs of old: the resource has exactly `configs` afterwards.
  Task<Result<void>> replace_configs(ConfigResource resource, SettingMap configs, bool validate_only,
                                     Deadline deadline);
  // DescribeConfigs' rows of a topic, of this broker, or of what is set for all brokers. Any core; from its view.
  Task<Result<std::vector<SettingEntry>>> describe_configs(ConfigResource resource);

  // The next 1000 producer ids, this broker's alone for ever. Any broker may ask; needs no election.
  Task<Result<ProducerIdBlock>> allocate_producer_ids(Deadline deadline);

 private:
  class Impl;
  Result<void> check_resource(const ConfigResource& resource) const;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forelog::cluster
