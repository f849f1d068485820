#include "broker/cluster/session.h"

#include "broker/base/log.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"

namespace forelog::cluster {

using env::MetadataOp;

namespace {

BrokerRecord record_of(const BrokerView& self, WallTime now) {
  BrokerRecord record;
  record.rack = self.rack;
  record.timestamp = to_ms(now);
  if (!self.hint_endpoint.empty()) record.forelog_hints = self.hint_endpoint;
  for (const auto& listener : self.listeners) {
    const auto& host = listener.endpoint.host;
    bool v6 = host.contains(':');
    auto address = (v6 ? "[" + host + "]" : host) + ":" + std::to_string(listener.endpoint.port);
    record.endpoints.push_back(listener.name + "://" + address);
    record.listener_security_protocol_map[listener.name] = listener.protocol;
    if (listener.protocol == "PLAINTEXT" && !record.host) {
      record.host = host;
      record.port = listener.endpoint.port;
    }
  }
  return record;
}

}  // namespace

Session::Session(env::Env& env, BrokerView self)
    : env_(env), self_(std::move(self)), tasks_(env.cores), stopped_(env.clock) {}
Session::~Session() = default;

Task<Result<void>> Session::prepare() {
  // Those of Kafka that tools expect to be there, and ours.
  for (std::string_view path :
       {"/brokers/ids", "/brokers/topics", "/brokers/seqid", "/config/changes", "/config/topics", "/config/brokers",
        "/config/clients", "/config/users", "/config/ips", "/admin/delete_topics", "/isr_change_notification",
        "/log_dir_event_notification", "/latest_producer_id_block", "/consumers", "/cluster", "/forelog/changes",
        "/forelog/chains", "/forelog/moves", "/forelog/settings"}) {
    CO_TRY(co_await ensure_path(env_.metadata, std::string(path)));
  }
  ClusterIdRecord id;
  id.id = env_.random.topic_id().text();
  for (auto [path, data] :
       {std::pair(paths::kFeature, to_json(FeatureRecord{})), std::pair(paths::kClusterId, to_json(id))}) {
    std::vector<MetadataOp> ops{MetadataOp::create(path, data)};
    auto created = co_await env_.metadata.commit(std::move(ops));
    if (!created && created.error().code != ErrorCode::kAlreadyExists) co_return created;
  }
  co_return Result<void>{};
}

Task<Result<void>> Session::register_once() {
  auto record = record_of(self_, env_.clock.wall());
  std::vector<MetadataOp> ops{MetadataOp::create_ephemeral(paths::broker(self_.id), to_json(record))};
  auto done = co_await env_.metadata.commit(std::move(ops));
  if (done) registered_ = true;
  co_return done;
}

Task<Result<void>> Session::start(Deadline deadline) {
  for (bool told = false;;) {
    auto done = co_await register_once();
    if (done) break;
    if (env_.clock.now() >= deadline) {
      if (done.error().code != ErrorCode::kAlreadyExists) co_return done;
      co_return fail(ErrorCode::kAlreadyExists, "another broker has the id " + std::to_string(self_.id.value()));
    }
    if (!std::exchange(told, true)) log_line(info, "registration_waits", {{"broker", self_.id}, {"why", done.error()}});
    co_await sleep_until(env_.clock, std::min(deadline, env_.clock.now() + 200ms));
  }
  log_line(info, "broker_registered", {{"broker", self_.id}});
  tasks_.spawn(keep_registered());
  co_return Result<void>{};
}

Task<void> Session::keep_registered() {
  while (!stopping_) {
    co_await stopped_.wait(env_.clock.now() + 1s);
    if (stopping_) break;
    auto present = co_await env_.metadata.get(paths::broker(self_.id));
    if (present || present.error().code != ErrorCode::kNotFound || stopping_) continue;
    auto again = co_await register_once();
    log_line(warn, "broker_registered_again",
             {{"broker", self_.id}, {"how", again ? "after its session was lost" : again.error().text()}});
  }
}

Task<void> Session::stop() {
  stopping_ = true;
  stopped_.notify();
  co_await tasks_.join();
  if (!registered_) co_return;
  std::vector<MetadataOp> ops{MetadataOp::remove(paths::broker(self_.id), -1)};
  (void)co_await env_.metadata.commit(std::move(ops));  // else the end of the session does it
}

}  // namespace forelog::cluster
