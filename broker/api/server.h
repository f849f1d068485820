// server.h: accepts connections on every listener and spreads them over the cores.
//
// Core 0 makes, starts and stops it. A connection lives on one core for its whole life; connections go round the cores
// in turn. At `max.connections` none is taken until one has gone; those that come wait in the system's queue, as Kafka
// has it. One too many from an address is closed at once.
#pragma once

#include "broker/api/connection.h"
#include "broker/base/line_limit.h"
#include "broker/base/metrics.h"
#include "broker/cluster/broker_settings.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace forelog::api {

struct ServerMetrics {
  explicit ServerMetrics(MetricsRegistry& registry);
  Gauge connections;
  Counter accepted, over_limit, waits;
};

class Server {
 public:
  struct Parts {
    env::Env& env;
    std::vector<Dispatcher*> dispatchers;  // by core
    MetricsRegistry& metrics;              // core 0's
    ConnectionLimits limits;
    struct Quota {
      std::int32_t connections_max = INT32_MAX;
      std::int32_t per_ip_max = INT32_MAX;
    };
    std::function<Quota()> quota;  // as it is now; asked on core 0
    // On the connection's core: it is gone, though requests of it may wait; and, they have ended.
    std::function<void(std::uint64_t connection)> on_gone;
    std::function<void(std::uint64_t connection)> on_closed;
  };
  explicit Server(Parts parts);
  ~Server();

  // Fails when an address is taken, naming it. Yields where each listens, ports resolved.
  Task<Result<std::vector<cluster::ListenerSpec>>> listen(std::vector<cluster::ListenerSpec> listeners);
  void serve();       // starts accepting
  Task<void> stop();  // closes listeners and connections, and resumes when their requests have ended

 private:
  struct PerCore;
  static Task<void> accept(Server& self, env::ListenerPtr listener, std::string name);
  Task<void> wait_for_room();
  static Task<void> run_connection(Server& self, std::size_t core, env::ConnectionPtr socket, ClientInfo client);
  static Task<bool> close_all(Server& self, std::size_t core);
  void gone(const std::string& host);

  Parts parts_;
  ServerMetrics metrics_;
  std::vector<std::pair<std::string, env::ListenerPtr>> listeners_;
  std::vector<std::unique_ptr<PerCore>> cores_;
  std::map<std::string, std::int32_t> by_host_;
  std::uint64_t last_connection_ = 0;
  bool stopping_ = false;
  Event gone_;  // a connection has ended, or the server stops
  LineLimit failures_{1};
  TaskGroup tasks_;
};

}  // namespace forelog::api
