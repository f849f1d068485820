// view_loader.h: reads parts of a ClusterView out of the metadata store.
#pragma once

#include "broker/cluster/cluster_view.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"

#include <map>
#include <optional>
#include <set>

namespace forelog::cluster {

// What /brokers/ids says. A record that cannot be read is logged and left out.
Task<Result<std::map<BrokerId, BrokerView>>> load_brokers(env::MetadataStore& store);

// One topic; none when there is no such topic, when its record cannot be read (logged), or when it has no id yet.
// `known` is the id that it had when last looked at: tools that drop the id when they rewrite a topic mean the same
// one. A partition whose state is missing has no leader.
Task<Result<std::optional<TopicView>>> load_topic(env::MetadataStore& store, env::Cores& cores, TopicName name,
                                                  std::optional<TopicId> known = {});

// The settings at `path` under /config; empty when there are none or they cannot be read (logged).
Task<Result<SettingMap>> load_configs(env::MetadataStore& store, std::string path);

// How /brokers/ids says an endpoint.
BrokerView view_of(BrokerId id, const BrokerRecord& record);

}  // namespace forelog::cluster
