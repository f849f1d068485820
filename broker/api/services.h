// services.h: what handlers call. Made by `Broker`, outlives every connection.
#pragma once

#include "broker/api/client_info.h"
#include "broker/base/ids.h"
#include "broker/base/metrics.h"
#include "broker/cluster/broker_settings.h"
#include "broker/cluster/cluster_state.h"
#include "broker/env/budget.h"
#include "broker/env/env.h"
#include "broker/wire/field_notes.h"

#include <memory>
#include <string>
#include <vector>

namespace forelog::cluster {
class Controller;
class ProducerIds;
}  // namespace forelog::cluster
namespace forelog::groups {
class Coordinator;
class GroupEventSink;
struct GroupSettings;
}  // namespace forelog::groups
namespace forelog::prefetch {
class AccessFeed;
class Prefetcher;
}  // namespace forelog::prefetch
namespace forelog::replication {
class PartitionTable;
}

namespace forelog::api {

class FetchSessions;
class ProducerIds;
class RequestMemory;
struct ReadMetrics;

// What lives on one core, and is called on that core only.
struct CoreServices {
  MetricsRegistry& metrics;
  replication::PartitionTable& partitions;
  groups::Coordinator& groups;
  groups::GroupEventSink& group_events;
  prefetch::AccessFeed& accesses;
  prefetch::Prefetcher& prefetcher;
  FetchSessions& fetch_sessions;  // of the connections of this core
  ProducerIds& producer_ids;
  ReadMetrics& reads;
};

struct Services {
  env::Env& env;
  BrokerId self;
  const cluster::BrokerSettings& broker;
  const cluster::ServiceSettings& service;
  const groups::GroupSettings& group;
  cluster::ClusterState& cluster;
  cluster::Controller& controller;
  std::vector<CoreServices> cores;  // by core id

  CoreServices& here() { return cores[static_cast<std::size_t>(env.cores.current().value())]; }
  CoreServices& at(CoreId core) { return cores[static_cast<std::size_t>(core.value())]; }
  // The core that owns a partition: the same as long as the number of cores is.
  CoreId owner(const PartitionKey& partition) const {
    return CoreId(static_cast<std::int32_t>(std::hash<PartitionKey>{}(partition) % cores.size()));
  }
};

// One request on its way through a handler.
struct Context {
  Services& services;
  std::shared_ptr<ClientInfo> client;
  wire::Version version = 0;
  Instant received;
  RequestMemory& memory;             // of this core
  bool is_large = false;             // the request holds memory that others may wait for: it should not wait long
  env::Reservation* held = nullptr;  // where the handler leaves what is set aside for its answer
};

}  // namespace forelog::api
