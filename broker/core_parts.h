// core_parts.h: what lives on one core: its share of the cache, its partitions, its groups, its prefetching. Built left
// to right in the order of the layers, on the core itself, and taken down in the reverse order.
#pragma once

#include "broker/access_log_writer.h"
#include "broker/all_settings.h"
#include "broker/api/dispatch.h"
#include "broker/api/fetch_sessions.h"
#include "broker/api/producer_ids.h"
#include "broker/api/read_metrics.h"
#include "broker/archive/archive_source.h"
#include "broker/archive/bounded_store.h"
#include "broker/cache/block_cache.h"
#include "broker/env/task_group.h"
#include "broker/group_event_router.h"
#include "broker/groups/coordinator.h"
#include "broker/log/local_log.h"
#include "broker/offsets_log.h"
#include "broker/prefetch/prefetcher.h"
#include "broker/replication/partition_table.h"

#include <memory>

namespace forelog {

class CoreParts {
 public:
  struct Shared {
    api::Services& services;
    const AllSettings& settings;
    env::ObjectStore& archive;  // NoArchive without one
    log::Catalog& catalog;
    log::Wal& wal;
    log::FailingWrites& failing_writes;
    prefetch::FeedIdentity identity;
    cache::Tier* disk_tier;  // null without one
  };
  CoreParts(Shared shared, CoreId core, MetricsRegistry& metrics);
  ~CoreParts();

  api::CoreServices services();
  api::Dispatcher& dispatcher() { return dispatcher_; }
  replication::PartitionTable& partitions() { return partitions_; }
  prefetch::Prefetcher& prefetcher() { return prefetcher_; }

  Task<void> start();
  // Nobody waits for the archive longer than a moment from here on.
  void stop_archive() { archive_.stop(kArchiveStopMax); }
  // Answers all members that wait for a rebalance, however long they would, and lets groups go. Before the server waits
  // for its requests.
  Task<void> stop_groups();
  Task<void> stop();

 private:
  static constexpr Duration kArchiveStopMax = 1s;

  void follow(const cluster::ClusterViewPtr& view);
  Task<bool> topic_is_gone(TopicName topic);
  Task<void> forget_if_gone(TopicName topic);
  void follow_settings(const cluster::ClusterView& view);

  Shared shared_;
  CoreId core_;
  MetricsRegistry& metrics_;
  archive::BoundedStore archive_;
  env::Env env_;  // the broker's, with `archive_` for an archive
  log::TailBudget tail_budget_;
  log::LogMetrics log_metrics_;
  log::LocalPartitions local_partitions_;
  log::LogContext log_context_;
  archive::FooterCache footers_;
  archive::ArchiveSource source_;
  cache::BlockCache cache_;
  replication::ArchiverMetrics archiver_metrics_;
  replication::CompactorMetrics compactor_metrics_;
  replication::Compactor::Context compactor_context_;
  replication::TopicDescriber topics_;
  replication::Archiver::Context archiver_context_;
  replication::WriteThroughMetrics write_through_metrics_;
  replication::WriteThrough::Context write_through_context_;
  replication::ProducerBudget producer_budget_;
  replication::PartitionContext partition_context_;
  replication::PartitionTable partitions_;
  prefetch::AccessFeed accesses_;
  prefetch::Prefetcher prefetcher_;
  OffsetsLog offsets_log_;
  GroupEventRouter group_events_;
  groups::Coordinator coordinator_;
  AccessLogWriter access_log_;
  api::FetchSessions fetch_sessions_;
  api::ReadMetrics read_metrics_;
  api::ProducerIds producer_ids_;
  api::Dispatcher dispatcher_;
  cluster::ClusterViewPtr followed_;  // the latest view that `follow` has seen
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog
