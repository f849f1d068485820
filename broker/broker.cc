#include "broker/broker.h"

#include "broker/admin/http_server.h"
#include "broker/admin_routes.h"
#include "broker/api/internal_topics.h"
#include "broker/api/server.h"
#include "broker/archive_guard.h"
#include "broker/archive_restore.h"
#include "broker/base/log.h"
#include "broker/cache/disk_tier.h"
#include "broker/cluster/controller.h"
#include "broker/cluster/session.h"
#include "broker/core_parts.h"
#include "broker/hint_router.h"
#include "broker/log/recovery.h"
#include "broker/no_archive.h"
#include "broker/prefetch/hint_service.h"

#include <utility>

namespace forelog {
namespace {

constexpr Duration kRegisterMax = 30s;
constexpr Duration kTopicMax = 30s;
constexpr Duration kWalStopMax = 10s;

Result<env::Endpoint> parse_endpoint(const std::string& text) {
  auto colon = text.rfind(':');
  std::int32_t port = -1;
  if (colon != std::string::npos && text.size() - colon <= 6) {
    port = 0;
    for (char c : text.substr(colon + 1)) port = c >= '0' && c <= '9' && port >= 0 ? port * 10 + (c - '0') : -1;
  }
  if (port < 0 || port > 65535) return fail(ErrorCode::kInvalidSetting, "'" + text + "' is not host:port");
  return env::Endpoint{text.substr(0, colon), static_cast<std::uint16_t>(port)};
}

Result<std::vector<cluster::ListenerSpec>> client_listeners(const cluster::BrokerSettings& settings) {
  return cluster::parse_listeners(settings.listeners, settings.protocol_map);
}

}  // namespace

struct Broker::Parts {
  Parts(env::Env& e, AllSettings s)
      : env(e),
        settings(std::move(s)),
        cluster(env.cores, env.metadata, BrokerId(settings.broker.broker_id), settings.raw),
        controller(env, cluster, BrokerId(settings.broker.broker_id), settings_catalog()),
        services{env,
                 BrokerId(settings.broker.broker_id),
                 settings.broker,
                 settings.service,
                 settings.group,
                 cluster,
                 controller,
                 {}},
        catalog(env.local),
        hint_router(services),
        boot_id(static_cast<std::int64_t>(e.random.next() >> 1)),
        tasks(env.cores) {
    for (int core = 0; core < env.cores.count(); ++core) metrics.push_back(std::make_unique<MetricsRegistry>());
    wal.emplace(env,
                log::WalSettings{settings.broker.log_dirs.front() + "/wal", settings.log.wal_file_size,
                                 settings.log.wal_size_max},
                *metrics.front());
    if (!settings.cache.disk_path.empty()) {
      disk_tier.emplace(cache::DiskTier::Parts{e.cores, e.clock, e.random, e.cache_files, *metrics.front()},
                        settings.cache);
    }
  }

  env::Env& env;
  AllSettings settings;
  std::vector<std::unique_ptr<MetricsRegistry>> metrics;  // by core; outlive all that count in them
  cluster::ClusterState cluster;
  cluster::Controller controller;
  api::Services services;
  NoArchive no_archive;
  log::Catalog catalog;
  std::optional<log::Wal> wal;
  log::FailingWrites failing_writes;
  std::optional<cache::DiskTier> disk_tier;
  std::optional<ArchiveGuard> archive_guard;  // none without an archive
  std::vector<std::unique_ptr<CoreParts>> cores;
  HintRouter hint_router;
  std::int64_t boot_id;  // tells this run from the one before, in the access log and to predictors
  std::optional<prefetch::HintService> hint_service;
  std::optional<api::Server> server;
  std::optional<cluster::Session> session;
  std::optional<admin::HttpServer> http;
  std::vector<cluster::ListenerSpec> listeners;
  bool cluster_started = false, wal_started = false, controller_started = false, cores_started = false, ready = false;
  bool disk_tier_started = false;
  TaskGroup tasks;

  api::Server::Parts::Quota connection_quota();
  Task<Result<void>> recover();
  Task<Result<void>> join_cluster();
  Task<Result<TopicId>> identity_key();
  Task<Result<void>> build_cores();
  Task<Result<void>> listen();
  Task<Result<void>> start_hints();
  Task<Result<void>> start_admin();
  static Task<bool> build_core(Parts& self, CoreId core, CoreParts::Shared shared);
  static Task<bool> start_core(Parts& self, CoreId core);
  static Task<bool> stop_groups(Parts& self, CoreId core);
  static Task<bool> stop_core(Parts& self, CoreId core);
};

Broker::Broker(env::Env& env, AllSettings settings) : parts_(std::make_unique<Parts>(env, std::move(settings))) {}
Broker::~Broker() = default;

const std::vector<cluster::ListenerSpec>& Broker::listeners() const { return parts_->listeners; }
prefetch::HintSink& Broker::hints() { return parts_->hint_router; }

std::vector<const MetricsRegistry*> Broker::metrics() const {
  std::vector<const MetricsRegistry*> out;
  for (const auto& registry : parts_->metrics) out.push_back(registry.get());
  return out;
}

// --- start, left to right --------------------------------------------------------------------------------------------

Task<Result<void>> Broker::Parts::recover() {
  auto directory = settings.broker.log_dirs.front();
  CO_TRY(co_await env.files.create_directories(directory + "/segments"));
  CO_TRY(co_await env.files.create_directories(directory + "/wal"));
  CO_TRY(co_await catalog.check_version());
  auto report = CO_TRY(co_await log::replay_wal(env, directory + "/wal", directory + "/segments"));
  if (report.entries > 0 || report.torn) {
    log_line(info, "wal_replayed",
             {{"entries", report.entries}, {"bytes", report.bytes}, {"torn_end", report.torn ? "yes" : "no"}});
  }
  CO_TRY(co_await wal->start(report.next));
  wal_started = true;
  if (disk_tier) {
    disk_tier->start();
    disk_tier_started = true;
  }
  co_return Result<void>{};
}

Task<bool> Broker::Parts::build_core(Parts& self, CoreId core, CoreParts::Shared shared) {
  auto index = static_cast<std::size_t>(core.value());
  self.cores[index] = std::make_unique<CoreParts>(shared, core, *self.metrics[index]);
  co_return true;
}

// The key under which identities in the access log are hashed: drawn once for the cluster, and the same on all brokers.
Task<Result<TopicId>> Broker::Parts::identity_key() {
  const std::string path = "/forelog/access_log_key";
  while (true) {
    auto known = co_await env.metadata.get(path);
    if (known) {
      auto key = TopicId::parse(known->data);
      if (!key) co_return fail(ErrorCode::kCorruptFile, path + " holds no key; remove it to have another drawn");
      co_return *key;
    }
    if (known.error().code != ErrorCode::kNotFound) co_return fail(known.error());
    std::vector<env::MetadataOp> ops;
    ops.push_back(env::MetadataOp::create(path, env.random.topic_id().text()));
    auto created = co_await env.metadata.commit(std::move(ops));
    if (!created && created.error().code != ErrorCode::kAlreadyExists) co_return fail(created.error());
  }
}

Task<Result<void>> Broker::Parts::build_cores() {
  auto hash_key = CO_TRY(co_await identity_key()).bytes;
  cores.resize(metrics.size());
  if (env.archive != nullptr) {
    archive_guard.emplace(env, settings.archive.prefix, *metrics.front());
    archive_guard->start();
  }
  env::ObjectStore& archive = archive_guard ? archive_guard->store() : no_archive;
  for (std::size_t i = 0; i < cores.size(); ++i) {
    CoreId core(static_cast<std::int32_t>(i));
    prefetch::FeedIdentity identity;
    identity.broker = services.self;
    identity.hint_endpoint = settings.hints.listeners;
    identity.boot_id = boot_id;
    identity.core = core;
    identity.hash_key = hash_key;
    auto building = build_core(
        *this, core,
        {services, settings, archive, catalog, *wal, failing_writes, identity, disk_tier ? &*disk_tier : nullptr});
    co_await env.cores.on(core, std::move(building));
  }
  for (auto& core : cores) services.cores.push_back(core->services());
  co_return Result<void>{};
}

Task<Result<void>> Broker::Parts::listen() {
  auto specs = CO_TRY(client_listeners(settings.broker));
  api::ConnectionLimits limits;
  limits.frame_size_max = settings.service.request_size_max;
  limits.idle_max = settings.service.connections_idle_max;
  std::vector<api::Dispatcher*> dispatchers;
  for (auto& core : cores) dispatchers.push_back(&core->dispatcher());
  auto on_gone = [this](std::uint64_t connection) {
    prefetch::ConnectionId id(static_cast<std::int64_t>(connection));
    for (std::size_t i = 0; i < cores.size(); ++i) {
      auto& groups = services.at(CoreId(static_cast<std::int32_t>(i))).groups;
      env.cores.post(CoreId(static_cast<std::int32_t>(i)), [&groups, id] { groups.client_gone(id); });
    }
  };
  auto on_closed = [this](std::uint64_t connection) {
    prefetch::ConnectionId id(static_cast<std::int64_t>(connection));
    for (std::size_t i = 0; i < cores.size(); ++i) {
      auto& prefetcher = cores[i]->prefetcher();
      env.cores.post(CoreId(static_cast<std::int32_t>(i)), [&prefetcher, id] { prefetcher.on_disconnect(id); });
    }
  };
  server.emplace(api::Server::Parts{env, std::move(dispatchers), *metrics.front(), limits,
                                    [this] { return connection_quota(); }, std::move(on_gone), std::move(on_closed)});
  listeners = CO_TRY(co_await server->listen(std::move(specs)));
  co_return Result<void>{};
}

// max.connections and its like as AlterConfigs has left them.
api::Server::Parts::Quota Broker::Parts::connection_quota() {
  const auto& now = cluster.view()->broker_settings();
  api::Server::Parts::Quota quota{settings.service.connections_max, settings.service.connections_per_ip_max};
  auto apply = [&now](std::string_view key, std::int32_t& value) {
    auto set = now.find(key);
    if (set == now.end()) return;
    // Scripts can write anything into the metadata store; what is not legal is as if it were not there.
    auto changed = read_settings<cluster::ServiceSettings>({{std::string(key), set->second}});
    if (!changed) return;
    value = key == "max.connections" ? changed->connections_max : changed->connections_per_ip_max;
  };
  apply("max.connections", quota.connections_max);
  apply("max.connections.per.ip", quota.per_ip_max);
  return quota;
}

Task<Result<void>> Broker::Parts::join_cluster() {
  auto advertised =
      settings.broker.advertised_listeners.empty()
          ? listeners
          : CO_TRY(cluster::parse_listeners(settings.broker.advertised_listeners, settings.broker.protocol_map));
  cluster::BrokerView self;
  self.id = services.self;
  if (!settings.broker.rack.empty()) self.rack = settings.broker.rack;
  self.hint_endpoint = settings.hints.listeners;
  for (const auto& spec : advertised) {
    // Without a host a listener takes connections on every address; on one machine, this one is sure to be right.
    auto host = spec.host.empty() ? std::string("127.0.0.1") : spec.host;
    self.listeners.push_back({spec.name, spec.protocol, {host, static_cast<std::uint16_t>(spec.port)}});
  }
  session.emplace(env, std::move(self));
  CO_TRY(co_await session->prepare());
  auto deadline = env.clock.now() + kRegisterMax;
  co_return co_await session->start(deadline);
}

Task<Result<void>> Broker::Parts::start_hints() {
  if (settings.hints.listeners.empty()) co_return Result<void>{};
  prefetch::HintServiceInfo info;
  info.broker = services.self;
  info.hint_endpoint = settings.hints.listeners;
  info.boot_id = boot_id;
  hint_service.emplace(env.clock, hint_router, info, settings.hints);
  CO_TRY(hint_service->start());
  co_return Result<void>{};
}

Task<Result<void>> Broker::Parts::start_admin() {
  std::vector<env::Endpoint> endpoints;
  for (const auto& text : settings.broker.admin_listeners) {
    if (!text.empty()) endpoints.push_back(CO_TRY(parse_endpoint(text)));
  }
  if (endpoints.empty()) co_return Result<void>{};
  http.emplace(env.cores, env.network);
  std::vector<const MetricsRegistry*> registries;
  for (const auto& registry : metrics) registries.push_back(registry.get());
  auto of_archive = [this](MetricsSnapshot& all) {
    if (env.archive != nullptr) env.archive->collect_metrics(all);
  };
  auto missing = [this]() -> std::string {
    if (!ready) return "starting";
    if (const auto& error = wal->failing()) return "appends are refused: " + error->text();
    if (auto some = failing_writes.text()) return "appends are refused: " + *some;
    return {};
  };
  // What lies here is served all the same, so that nobody should keep clients away from it.
  auto degraded = [this]() -> std::string { return archive_guard ? archive_guard->trouble() : std::string(); };
  admin::add_standard_routes(*http, env.cores, std::move(registries), std::move(of_archive), std::move(missing),
                             std::move(degraded));
  add_admin_routes(*http, services, hint_router);
  CO_TRY(co_await http->start(std::move(endpoints)));
  co_return Result<void>{};
}

Task<bool> Broker::Parts::start_core(Parts& self, CoreId core) {
  co_await self.cores[static_cast<std::size_t>(core.value())]->start();
  co_return true;
}

Task<Result<void>> Broker::start() {
  auto& p = *parts_;
  for (const auto& warning : p.settings.warnings) log_line(warn, "setting_without_effect", {{"setting", warning}});
  CO_TRY(co_await p.recover());
  // The tree must be there before it is read; a session of its own, since the addresses are not known yet.
  {
    cluster::Session tree(p.env, {});
    CO_TRY(co_await tree.prepare());
  }
  auto half_done = CO_TRY(co_await unfinished_restores(p.env.metadata));
  if (!half_done.empty()) {
    co_return fail(ErrorCode::kConflict, "restoring topic " + half_done.front() +
                                             " was begun and not ended; run forelog archive restore again");
  }
  CO_TRY(co_await p.cluster.start());
  p.cluster_started = true;
  CO_TRY(co_await p.build_cores());
  CO_TRY(co_await p.listen());
  CO_TRY(co_await p.join_cluster());
  p.controller_started = true;  // also when it fails, it has begun
  CO_TRY(co_await p.controller.start());
  p.cores_started = true;
  for (std::size_t i = 0; i < p.cores.size(); ++i) {
    CoreId core(static_cast<std::int32_t>(i));
    auto starting = Parts::start_core(p, core);
    co_await p.env.cores.on(core, std::move(starting));
  }
  CO_TRY(co_await p.start_hints());
  CO_TRY(co_await p.start_admin());
  p.server->serve();
  p.ready = true;
  if (p.settings.access_log.enable) {
    auto created = co_await api::ensure_access_log_topic(p.services, p.env.clock.now() + kTopicMax);
    if (!created) log_line(warn, "access_log_topic_missing", {{"error", created.error()}});
  }
  for (const auto& listener : p.listeners) {
    log_line(info, "listening", {{"listener", listener.name}, {"host", listener.host}, {"port", listener.port}});
  }
  co_return Result<void>{};
}

// --- stop, right to left ---------------------------------------------------------------------------------------------

Task<bool> Broker::Parts::stop_groups(Parts& self, CoreId core) {
  co_await self.cores[static_cast<std::size_t>(core.value())]->stop_groups();
  co_return true;
}

Task<bool> Broker::Parts::stop_core(Parts& self, CoreId core) {
  co_await self.cores[static_cast<std::size_t>(core.value())]->stop();
  co_return true;
}

Task<void> Broker::stop() {
  auto& p = *parts_;
  p.ready = false;
  if (p.archive_guard) p.archive_guard->interrupt();
  for (std::size_t i = 0; i < p.cores.size(); ++i) {
    if (!p.cores[i]) continue;
    p.env.cores.post(CoreId(static_cast<std::int32_t>(i)), [&core = *p.cores[i]] { core.stop_archive(); });
  }
  if (p.http) co_await p.http->stop();
  p.hint_router.stop();
  if (p.hint_service) p.hint_service->stop();
  // Before the registration goes, or this broker would take leadership from itself.
  if (p.controller_started) co_await p.controller.stop();
  if (p.session) co_await p.session->stop();
  if (p.cores_started) {
    for (std::size_t i = 0; i < p.cores.size(); ++i) {
      CoreId core(static_cast<std::int32_t>(i));
      auto stopping = Parts::stop_groups(p, core);
      co_await p.env.cores.on(core, std::move(stopping));
    }
  }
  if (p.server) co_await p.server->stop();
  // Uploads go on after the next start; nobody waits for them now.
  if (p.env.archive != nullptr) p.env.archive->interrupt();
  if (p.archive_guard) co_await p.archive_guard->stop();
  if (p.cores_started) {
    for (std::size_t i = 0; i < p.cores.size(); ++i) {
      CoreId core(static_cast<std::int32_t>(i));
      auto stopping = Parts::stop_core(p, core);
      co_await p.env.cores.on(core, std::move(stopping));
    }
  }
  if (p.disk_tier_started) co_await p.disk_tier->stop();
  if (p.cluster_started) co_await p.cluster.stop();
  if (p.wal_started) co_await p.wal->stop(p.env.clock.now() + kWalStopMax);
}

}  // namespace forelog
