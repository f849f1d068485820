#include "broker/api/server.h"

#include "broker/base/log.h"

#include <unordered_map>
#include <utility>

namespace forelog::api {
namespace {

constexpr Duration kAcceptPause = 100ms;  // after a failed accept, as when file descriptors have run out
constexpr Duration kQuotaLook = 1s;

}  // namespace

struct Server::PerCore {
  explicit PerCore(env::Cores& cores) : tasks(cores) {}
  std::unordered_map<std::uint64_t, Connection*> open;
  bool stopping = false;
  TaskGroup tasks;
};

ServerMetrics::ServerMetrics(MetricsRegistry& registry)
    : connections(registry, "forelog_connections", "Client connections open"),
      accepted(registry, "forelog_connections_accepted_total", "Client connections accepted"),
      over_limit(registry, "forelog_connections_over_limit_total",
                 "Connections closed at once by max.connections.per.ip"),
      waits(registry, "forelog_connections_waits_total",
            "Times that no connection was taken because max.connections was reached") {}

Server::Server(Parts parts)
    : parts_(std::move(parts)), metrics_(parts_.metrics), gone_(parts_.env.clock), tasks_(parts_.env.cores) {
  for (std::size_t i = 0; i < parts_.dispatchers.size(); ++i)
    cores_.push_back(std::make_unique<PerCore>(parts_.env.cores));
}

Server::~Server() = default;

Task<Result<std::vector<cluster::ListenerSpec>>> Server::listen(std::vector<cluster::ListenerSpec> listeners) {
  for (auto& spec : listeners) {
    env::Endpoint at{spec.host.empty() ? "0.0.0.0" : spec.host, static_cast<std::uint16_t>(spec.port)};
    auto listener = CO_TRY(co_await parts_.env.network.listen(at));
    spec.port = listener->local().port;
    listeners_.emplace_back(spec.name, std::move(listener));
  }
  co_return listeners;
}

void Server::serve() {
  for (auto& [name, listener] : listeners_) tasks_.spawn(accept(*this, listener, name));
}

// Kafka's max.connections: whoever comes waits, unaccepted, until another has gone.
Task<void> Server::wait_for_room() {
  bool noted = false;
  while (!stopping_ && metrics_.connections.value() >= parts_.quota().connections_max) {
    if (!noted) {
      ++metrics_.waits;
      log_line(warn, "connections_at_limit", {{"max.connections", parts_.quota().connections_max}});
    }
    noted = true;
    // The setting may be raised, of which nobody tells.
    co_await gone_.wait(parts_.env.clock.now() + kQuotaLook);
  }
}

Task<void> Server::accept(Server& self, env::ListenerPtr listener, std::string name) {
  auto& env = self.parts_.env;
  std::size_t turn = 0;
  while (!self.stopping_) {
    co_await self.wait_for_room();
    auto core = turn++ % self.cores_.size();
    auto accepted = co_await listener->accept(CoreId(static_cast<std::int32_t>(core)));
    if (self.stopping_) break;
    if (!accepted) {
      if (self.failures_.allow(env.clock.now()))
        log_line(warn, "accept_failed", {{"listener", name}, {"error", accepted.error()}});
      co_await sleep_until(env.clock, env.clock.now() + kAcceptPause);
      continue;
    }
    auto socket = *std::move(accepted);
    ++self.metrics_.accepted;
    ClientInfo client;
    client.connection = ++self.last_connection_;
    client.listener = name;
    client.host = socket->peer().host;
    auto& from_host = self.by_host_[client.host];
    if (from_host >= self.parts_.quota().per_ip_max) {
      if (from_host == 0) self.by_host_.erase(client.host);
      ++self.metrics_.over_limit;
      auto close = [socket = std::move(socket)] { socket->close(); };
      env.cores.post(CoreId(static_cast<std::int32_t>(core)), std::move(close));
      continue;
    }
    ++from_host;
    self.metrics_.connections.add(1);
    auto start = [&self, core, socket = std::move(socket), client = std::move(client)]() mutable {
      auto& here = *self.cores_[core];
      if (here.stopping) return socket->close();
      here.tasks.spawn(run_connection(self, core, std::move(socket), std::move(client)));
    };
    env.cores.post(CoreId(static_cast<std::int32_t>(core)), std::move(start));
  }
}

Task<void> Server::run_connection(Server& self, std::size_t core, env::ConnectionPtr socket, ClientInfo client) {
  auto id = client.connection;
  auto host = client.host;
  auto& here = *self.cores_[core];
  {
    Connection connection(self.parts_.env, *self.parts_.dispatchers[core], std::move(socket), std::move(client),
                          self.parts_.limits);
    here.open.emplace(id, &connection);
    co_await connection.run();
    here.open.erase(id);
    // Its place is free, though requests of its client may not have ended.
    self.parts_.env.cores.post(CoreId(0), [&self, host = std::move(host)] { self.gone(host); });
    if (self.parts_.on_gone) self.parts_.on_gone(id);
    co_await connection.drain();
  }
  if (self.parts_.on_closed) self.parts_.on_closed(id);
}

void Server::gone(const std::string& host) {
  metrics_.connections.add(-1);
  gone_.notify();
  auto it = by_host_.find(host);
  if (it != by_host_.end() && --it->second == 0) by_host_.erase(it);
}

Task<bool> Server::close_all(Server& self, std::size_t core) {
  auto& here = *self.cores_[core];
  here.stopping = true;
  for (auto& [id, connection] : here.open) connection->close();
  co_await self.parts_.dispatchers[core]->stop();
  co_await here.tasks.join();
  co_return true;
}

Task<void> Server::stop() {
  stopping_ = true;
  gone_.notify();
  for (auto& [name, listener] : listeners_) listener->close();
  co_await tasks_.join();
  for (std::size_t core = 0; core < cores_.size(); ++core) {
    auto closing = close_all(*this, core);
    co_await parts_.env.cores.on(CoreId(static_cast<std::int32_t>(core)), std::move(closing));
  }
  // What the last connections posted here has run when this has gone through the same queue.
  auto settled = std::make_shared<Event>(parts_.env.clock);
  auto seen = settled->count();
  parts_.env.cores.post(CoreId(0), [settled] { settled->notify(); });
  co_await settled->wait_since(seen, kForever);
}

}  // namespace forelog::api
