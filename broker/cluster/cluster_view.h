// cluster_view.h: what this broker knows of the cluster: an immutable snapshot, one pointer a core.
//
// `ClusterState` (cluster_state.h) loads it from the metadata store, follows changes, and hands every core the next
// snapshot by posting. Who holds a ClusterViewPtr across an await holds what was true before it.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/settings.h"
#include "broker/env/network.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::log {
struct TopicSettings;
}  // namespace forelog::log

namespace forelog::cluster {

inline constexpr BrokerId kNoBroker{-1};

// Where clients of one listener reach a broker.
struct ListenerAddress {
  std::string name;      // "PLAINTEXT"
  std::string protocol;  // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
  env::Endpoint endpoint;
  friend bool operator==(const ListenerAddress&, const ListenerAddress&) = default;
};

struct BrokerView {
  BrokerId id = kNoBroker;
  std::optional<std::string> rack;
  std::vector<ListenerAddress> listeners;
  std::string hint_endpoint;  // host:port of its hint service; empty without one

  const ListenerAddress* listener(std::string_view name) const;  // null when it has none of that name
};

struct PartitionView {
  PartitionId id;
  BrokerId leader = kNoBroker;  // kNoBroker: none at the moment
  Epoch leader_epoch = kNoEpoch;
  std::vector<BrokerId> replicas;  // the first is preferred as leader
  std::vector<BrokerId> in_sync;
  std::int32_t controller_epoch = 0;
  std::int32_t partition_epoch = 0;  // version of the state's znode, for compare-and-set
};

struct TopicView {
  TopicName name;
  TopicId id;
  std::vector<PartitionView> partitions;               // index is the partition's id; no gap
  SettingMap overrides;                                // what /config/topics says
  std::shared_ptr<const log::TopicSettings> settings;  // override, else broker-wide, else default; never null
  bool deleting = false;                               // marked in /admin/delete_topics: serves nobody any more
  bool internal() const;                               // __consumer_offsets and its like
};
using TopicViewPtr = std::shared_ptr<const TopicView>;  // shared between snapshots while the topic does not change

class ClusterView {
 public:
  // Null when there is no such topic.
  const TopicView* topic(const TopicName& name) const;
  const TopicView* topic(const TopicId& id) const;
  const PartitionView* partition(const TopicName& name, PartitionId partition) const;
  const PartitionView* partition(const PartitionKey& key) const;
  const BrokerView* broker(BrokerId id) const;

  const std::map<TopicName, TopicViewPtr>& topics() const { return topics_; }
  const std::map<BrokerId, BrokerView>& brokers() const { return brokers_; }
  const std::string& cluster_id() const { return cluster_id_; }
  BrokerId controller() const { return controller_; }  // kNoBroker while nobody is elected
  // This broker's settings: the file, under it what AlterConfigs said for all brokers, and for this one.
  const SettingMap& broker_settings() const { return *broker_settings_; }  // the three laid over one another
  const SettingMap& file_settings() const { return file_; }
  const SettingMap& dynamic_default() const { return dynamic_default_; }
  const SettingMap& dynamic_broker() const { return dynamic_broker_; }
  std::int64_t change() const { return change_; }  // grows with every change of a topic

 private:
  friend class ClusterViewBuilder;
  std::map<TopicName, TopicViewPtr> topics_;
  std::unordered_map<TopicId, const TopicView*> by_id_;
  std::map<BrokerId, BrokerView> brokers_;
  std::string cluster_id_;
  BrokerId controller_ = kNoBroker;
  SettingMap file_, dynamic_default_, dynamic_broker_;
  std::shared_ptr<const SettingMap> broker_settings_ = std::make_shared<const SettingMap>();
  std::int64_t change_ = 0;
};
using ClusterViewPtr = std::shared_ptr<const ClusterView>;

// Makes the next snapshot from the last one. Used by ClusterState, and by tests that need a view.
class ClusterViewBuilder {
 public:
  explicit ClusterViewBuilder(SettingMap file = {});
  explicit ClusterViewBuilder(const ClusterView& last);
  ClusterViewBuilder& topic(TopicView topic);  // adds or replaces; its settings are made from its overrides
  ClusterViewBuilder& remove_topic(const TopicName& name);
  ClusterViewBuilder& clear_topics();
  ClusterViewBuilder& brokers(std::map<BrokerId, BrokerView> brokers);
  ClusterViewBuilder& broker(BrokerView broker);
  ClusterViewBuilder& dynamic_settings(SettingMap of_all, SettingMap of_this_broker);
  ClusterViewBuilder& cluster_id(std::string id);
  ClusterViewBuilder& controller(BrokerId id);
  ClusterViewBuilder& change(std::int64_t change);
  ClusterViewPtr build() &&;

 private:
  ClusterView view_;
};

// A topic's settings: override, else the broker's, else default. A value that is not legal counts as absent (scripts
// can write anything) and is logged.
std::shared_ptr<const log::TopicSettings> resolve_topic_settings(const SettingMap& overrides, const SettingMap& broker);

}  // namespace forelog::cluster
