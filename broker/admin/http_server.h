// http_server.h: a small HTTP/1.1 server for metrics, health and the `forelog` command, over env::Network.
//
// Lives on the core that starts it; handlers run there and hop as they need. Sizes and times are bounded: a request
// head of 16 KiB, a body of 1 MiB, 64 connections at once, 10 s for a request to arrive or an answer to leave.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/env/task_group.h"

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace forelog::admin {

struct HttpRequest {
  std::string method;                        // "GET"
  std::string path;                          // without the query: "/shards/orders"
  std::map<std::string, std::string> query;  // decoded
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};
HttpResponse http_error(const Error& error);  // status by code; the body is {"error":"…"}

// An answer without known end (`--follow`). A write waits until the client has taken the piece.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  virtual Task<Result<void>> write(std::string piece) = 0;  // fails once the client has gone or the server stops
  virtual bool stopping() const = 0;                        // look at it at least once a second
};

class HttpServer {
 public:
  HttpServer(env::Cores& cores, env::Network& network);
  ~HttpServer();

  // A path that ends with '/' takes everything below it; the longest match wins. Register before `start`.
  using Handler = std::function<Task<HttpResponse>(HttpRequest)>;
  using StreamHandler = std::function<Task<void>(HttpRequest, HttpStream&)>;
  void route(std::string method, std::string path, Handler handler);
  void stream(std::string method, std::string path, std::string content_type, StreamHandler handler);

  // Listens at each endpoint; yields the address of the last, with its port. Fails when an address is taken.
  Task<Result<env::Endpoint>> start(std::vector<env::Endpoint> endpoints);
  Task<void> stop();  // closes all connections, waits for handlers

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// GET /metrics (all cores summed; Prometheus text), GET /health (200 while the process answers: a new start would mend
// nothing; its text says what is missing), GET /ready (200, or 503 while something is missing). `registries` holds one
// registry a core, in the order of the cores; `extra`, if any, adds what is not counted by core; `ready` says what is
// missing, empty when nothing is; `degraded`, if any, what is missing and keeps no client away: in /health alone.
void add_standard_routes(HttpServer& server, env::Cores& cores, std::vector<const MetricsRegistry*> registries,
                         std::function<void(MetricsSnapshot&)> extra, std::function<std::string()> ready,
                         std::function<std::string()> degraded = {});

}  // namespace forelog::admin
