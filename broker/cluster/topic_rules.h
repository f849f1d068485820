// topic_rules.h (pure): what a topic may be called, how big it may be, which settings it may have.
//
// The texts of errors are Kafka's, because people search for them.
#pragma once

#include "broker/base/settings_catalog.h"
#include "broker/cluster/broker_settings.h"
#include "broker/cluster/cluster_view.h"
#include "broker/cluster/controller.h"
#include "broker/cluster/records.h"

#include <map>
#include <set>
#include <vector>

namespace forelog::cluster {

// The assignment of a topic to be created, checked against `view` and `live`; `start` says with which broker to begin.
Result<std::map<PartitionId, Replicas>> plan_topic(const NewTopic& topic, const ClusterView& view,
                                                   const ServiceSettings& defaults, std::uint64_t start);

// The assignment of the partitions to be added to a topic, so that it has `count`. `given` may be empty.
Result<std::map<PartitionId, Replicas>> plan_partitions(const std::map<PartitionId, Replicas>& existing,
                                                        std::int32_t count,
                                                        const std::vector<std::vector<BrokerId>>& given,
                                                        const ClusterView& view, std::uint64_t start);

// `overrides` after `changes`. InvalidRequest for a key named twice; InvalidConfig for an unknown key, an illegal
// value, or list operations on what is no list.
Result<SettingMap> changed_configs(SettingMap overrides, const std::vector<ConfigChange>& changes,
                                   const SettingsCatalog& catalog, const SettingMap& broker, ConfigResource::Kind kind);

// Relations between a topic's settings, once all values are legal. InvalidConfig.
Result<void> check_topic_settings(const SettingMap& overrides, const SettingMap& broker);

// Where history goes to an archive, topics take part unless they say otherwise or are compacted.
void add_archive_default(SettingMap& overrides, const SettingMap& broker);

}  // namespace forelog::cluster
