#include "broker/core_parts.h"

#include "broker/api/internal_topics.h"
#include "broker/base/log.h"
#include "broker/cluster/records.h"

#include <algorithm>
#include <utility>

namespace forelog {
namespace {

Bytes share(Bytes whole, const api::Services& services) { return whole / std::max(1, services.env.cores.count()); }

std::string segments_directory(const AllSettings& settings) { return settings.broker.log_dirs.front() + "/segments"; }

// The staging list's share of a core's cache: what unread prefetches may hold together.
Bytes staging(const AllSettings& settings, const api::Services& services) {
  return static_cast<Bytes>(static_cast<double>(share(settings.cache.memory, services)) * settings.cache.staging_share);
}

prefetch::PrefetchSettings prefetch_share(prefetch::PrefetchSettings out, const api::Services& services) {
  auto cores = std::max(1, services.env.cores.count());
  out.bytes_per_second /= cores;
  if (out.requests_per_second > 0) out.requests_per_second = std::max(1, out.requests_per_second / cores);
  out.in_flight_max /= cores;
  return out;
}

env::Env with_archive(env::Env env, env::ObjectStore& archive) {
  if (env.archive != nullptr) env.archive = &archive;
  return env;
}

}  // namespace

CoreParts::CoreParts(Shared shared, CoreId core, MetricsRegistry& metrics)
    : shared_(shared),
      core_(core),
      metrics_(metrics),
      archive_(shared.services.env.cores, shared.archive, metrics),
      env_(with_archive(shared.services.env, archive_)),
      tail_budget_(share(shared.settings.log.tail_memory, shared.services)),
      log_metrics_(metrics),
      local_partitions_(shared.services.env, segments_directory(shared.settings)),
      log_context_{shared.services.env,
                   shared.wal,
                   shared.catalog,
                   tail_budget_,
                   log_metrics_,
                   local_partitions_,
                   segments_directory(shared.settings),
                   shared.settings.log.checkpoint_bytes,
                   &shared.failing_writes},
      footers_({shared.services.env.cores, shared.services.env.clock, shared.services.env.random, archive_,
                shared.catalog, metrics},
               shared.settings.archive.prefix, share(shared.settings.archive.index_memory, shared.services),
               shared.settings.cache.load_timeout, shared.settings.cache.failure_memory),
      source_({shared.services.env.cores, shared.services.env.clock, shared.services.env.random, archive_, footers_,
               metrics},
              shared.settings.archive),
      cache_({shared.services.env.cores, shared.services.env.clock, source_, metrics, shared.disk_tier},
             shared.settings.cache,
             std::max<Bytes>(share(shared.settings.cache.memory, shared.services), 2 * kBlockSize)),
      archiver_metrics_(metrics),
      compactor_metrics_(metrics),
      compactor_context_{.env = env_,
                         .metrics = compactor_metrics_,
                         .settings = shared.settings.cleaner,
                         .dedupe_memory = share(shared.settings.cleaner.dedupe_memory, shared.services),
                         .footers = shared.services.env.archive != nullptr ? &footers_ : nullptr,
                         .archive_prefix = shared.settings.archive.prefix},
      topics_(archive_, env_.clock, shared.settings.archive.prefix),
      archiver_context_{.env = env_,
                        .footers = shared.services.env.archive != nullptr ? &footers_ : nullptr,
                        .cache = shared.services.env.archive != nullptr ? &cache_ : nullptr,
                        .metrics = archiver_metrics_,
                        .settings = shared.settings.archive,
                        .compactor = &compactor_context_,
                        .topics = &topics_},
      write_through_metrics_(metrics),
      write_through_context_{.env = env_,
                             .cache = cache_,
                             .disk = shared.disk_tier,
                             .metrics = write_through_metrics_,
                             .partial_max = cache_.capacity() / 8},
      producer_budget_(metrics, static_cast<std::size_t>(shared.settings.service.producers_per_partition_max),
                       static_cast<std::size_t>(share(shared.settings.service.producers_max, shared.services))),
      partition_context_{.env = env_,
                         .self = shared.services.self,
                         .log = log_context_,
                         .cache = cache_,
                         .footers = footers_,
                         .archiver = archiver_context_,
                         .write_through = write_through_context_,
                         .archive_prefix = shared.settings.archive.prefix,
                         .producers = producer_budget_,
                         .producer_expiration = shared.settings.service.producer_id_expiration},
      partitions_({partition_context_, metrics,
                   [&services = shared.services, core](const PartitionKey& key) { return services.owner(key) == core; },
                   shared.settings.topic_prefetch.mode}),
      accesses_(shared.services.env.clock, metrics, shared.identity, shared.settings.access_log),
      prefetcher_({shared.services.env.cores, cache_, partitions_, accesses_, metrics},
                  prefetch_share(shared.settings.prefetch, shared.services), staging(shared.settings, shared.services)),
      offsets_log_(shared.services.cluster, partitions_),
      group_events_(shared.services, accesses_),
      coordinator_(shared.services.env.cores, shared.services.env.random, offsets_log_, group_events_,
                   shared.settings.group, metrics),
      access_log_(shared.services, accesses_, metrics),
      fetch_sessions_(static_cast<std::size_t>(share(shared.settings.service.fetch_session_slots, shared.services)),
                      core.value() + 1, std::max(1, shared.services.env.cores.count())),
      read_metrics_(metrics),
      producer_ids_(shared.services.controller, shared.services.env.clock),
      dispatcher_(shared.services, metrics),
      tasks_(shared.services.env.cores) {
  cache_.set_outcome_sink(&prefetcher_);
  archiver_context_.on_local_drop = [this](const PartitionKey& partition, Offset from, Offset to) {
    prefetcher_.on_local_drop(partition, {from, to});
  };
  prefetcher_.set_elsewhere([&services = shared.services](prefetch::LoadRequest request) {
    auto owner = services.owner(request.partition);
    services.env.cores.post(owner, [&services, owner, request = std::move(request)]() mutable {
      services.at(owner).prefetcher.load(std::move(request));
    });
  });
  partitions_.set_listener([this](const replication::PartitionTable::PartitionPtr& partition, bool opened) {
    if (partition->topic().value() != api::kOffsetsTopic) return;
    if (opened) {
      coordinator_.lead(partition->key().partition);
    } else {
      coordinator_.resign(partition->key().partition);
    }
  });
}

CoreParts::~CoreParts() = default;

api::CoreServices CoreParts::services() {
  return {metrics_,    partitions_,     coordinator_,  group_events_, accesses_,
          prefetcher_, fetch_sessions_, producer_ids_, read_metrics_};
}

// A topic whose record cannot be read is missing from the view, and is there all the same.
Task<bool> CoreParts::topic_is_gone(TopicName topic) {
  if (followed_ && followed_->topic(topic) != nullptr) co_return false;
  auto found = co_await shared_.services.env.metadata.get(cluster::paths::topic(topic));
  co_return !found && found.error().code == ErrorCode::kNotFound;
}

// Of a topic that was not being deleted when it left the view.
Task<void> CoreParts::forget_if_gone(TopicName topic) {
  if (co_await topic_is_gone(topic)) co_await coordinator_.forget_topic(topic);
}

Task<void> CoreParts::start() {
  coordinator_.ask_with([this](TopicName topic) { return topic_is_gone(std::move(topic)); });
  coordinator_.start();
  prefetcher_.start();
  co_await partitions_.start(shared_.services.cluster.view());
  shared_.services.cluster.on_change([this](const cluster::ClusterViewPtr& view) { follow(view); });
  if (shared_.settings.access_log.enable) access_log_.start();
}

// The access log is never about itself: who reads it would make it grow by reading.
void CoreParts::follow(const cluster::ClusterViewPtr& view) {
  partitions_.follow(view);
  auto last = std::exchange(followed_, view);
  if (const auto* log = view->topic(TopicName(std::string(prefetch::kAccessLogTopic)))) accesses_.exclude(log->id);
  if (!last || &last->broker_settings() != &view->broker_settings()) follow_settings(*view);
  if (!last || stopping_) return;
  for (const auto& [name, topic] : last->topics()) {
    // Also when another of that name has come: it is not the one whose offsets were committed.
    const auto* now = view->topic(name);
    if (now != nullptr && now->id == topic->id) continue;
    bool certain = now != nullptr || topic->deleting;
    tasks_.spawn(certain ? coordinator_.forget_topic(name) : forget_if_gone(name));
  }
}

void CoreParts::follow_settings(const cluster::ClusterView& view) {
  auto changed = read_settings<prefetch::PrefetchSettings>(view.broker_settings());
  if (!changed) {
    // AlterConfigs refuses what is not legal; scripts can write anything into the metadata store.
    log_line(warn, "dynamic_setting_ignored", {{"error", changed.error()}});
    return;
  }
  auto service = read_settings<cluster::ServiceSettings>(view.broker_settings());
  if (service) partition_context_.producer_expiration = service->producer_id_expiration;
  prefetcher_.configure(prefetch_share(*changed, shared_.services), staging(shared_.settings, shared_.services));
}

Task<void> CoreParts::stop_groups() {
  stopping_ = true;
  co_await coordinator_.stop();
}

Task<void> CoreParts::stop() {
  co_await tasks_.join();
  co_await prefetcher_.stop();
  co_await access_log_.stop();
  co_await partitions_.stop();
  co_await cache_.stop();
  co_await source_.stop();
  co_await footers_.stop();
}

}  // namespace forelog
