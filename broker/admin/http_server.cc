#include "broker/admin/http_server.h"

#include "broker/admin/http_connection.h"
#include "broker/base/json.h"
#include "broker/base/log.h"

#include <utility>
#include <vector>

namespace forelog::admin {

inline constexpr std::size_t kHttpConnectionsMax = 64;

HttpResponse http_error(const Error& error) {
  int status = 500;
  switch (error.code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kUnknownTopicId:
      status = 404;
      break;
    case ErrorCode::kMalformed:
    case ErrorCode::kInvalidRequest:
    case ErrorCode::kInvalidSetting:
    case ErrorCode::kInvalidConfig:
    case ErrorCode::kInvalidTopic:
    case ErrorCode::kOffsetOutOfRange:
      status = 400;
      break;
    default:
      if (is_retriable(error.code)) status = 503;
      break;
  }
  std::map<std::string, std::string> body{{"error", error.text()}};
  return {status, "application/json", to_json(body) + "\n"};
}

class HttpServer::Impl {
 public:
  Impl(env::Cores& cores, env::Network& network) : cores_(cores), network_(network), tasks_(cores) {}

  void add(std::string method, std::string path, HttpRoute route) {
    routes_[std::move(path)][std::move(method)] = std::move(route);
  }

  Task<Result<env::Endpoint>> start(std::vector<env::Endpoint> endpoints) {
    env::Endpoint bound;
    for (auto& endpoint : endpoints) {
      auto name = endpoint.text();
      auto listener = co_await network_.listen(std::move(endpoint));
      if (!listener) co_return fail_while("admin.listeners " + name, listener.error());
      bound = (*listener)->local();
      listeners_.push_back(*listener);
      tasks_.spawn(accept(*listener));
      log_line(info, "admin_listens", {{"address", bound.text()}});
    }
    co_return bound;
  }

  Task<void> stop() {
    stopping_ = true;
    for (auto& listener : listeners_) listener->close();
    for (const auto& connection : connections_) connection->close();
    co_await tasks_.join();
  }

 private:
  Task<void> accept(env::ListenerPtr listener) {
    while (!stopping_) {
      auto connection = co_await listener->accept(cores_.current());
      if (stopping_) {
        if (connection) (*connection)->close();
        break;
      }
      if (!connection) {
        if (connection.error().code == ErrorCode::kConnectionClosed) break;
        log_line(warn, "admin_accept_failed", {{"why", connection.error()}});
        co_await sleep_until(cores_.clock(), cores_.clock().now() + 100ms);
        continue;
      }
      if (connections_.size() >= kHttpConnectionsMax) {
        (*connection)->close();
        continue;
      }
      connections_.push_back(*connection);
      tasks_.spawn(serve(*std::move(connection)));
    }
  }

  Task<void> serve(env::ConnectionPtr connection) {
    co_await serve_http(connection, cores_.clock(), find_, stopping_);
    std::erase(connections_, connection);
  }

  const HttpRoute* find(const std::string& method, const std::string& path) const {
    auto methods = routes_.find(path);
    // Else the longest registered prefix that ends with '/'.
    for (auto slash = path.rfind('/'); methods == routes_.end() && slash != std::string::npos;
         slash = slash == 0 ? std::string::npos : path.rfind('/', slash - 1)) {
      methods = routes_.find(path.substr(0, slash + 1));
    }
    if (methods == routes_.end()) return nullptr;
    static const HttpRoute kOtherMethod;
    auto route = methods->second.find(method);
    return route == methods->second.end() ? &kOtherMethod : &route->second;
  }

  env::Cores& cores_;
  env::Network& network_;
  std::map<std::string, std::map<std::string, HttpRoute>> routes_;  // path → method → route
  FindRoute find_ = [this](const std::string& method, const std::string& path) { return find(method, path); };
  std::vector<env::ListenerPtr> listeners_;
  std::vector<env::ConnectionPtr> connections_;
  TaskGroup tasks_;
  bool stopping_ = false;
};

HttpServer::HttpServer(env::Cores& cores, env::Network& network) : impl_(std::make_unique<Impl>(cores, network)) {}
HttpServer::~HttpServer() = default;

void HttpServer::route(std::string method, std::string path, Handler handler) {
  impl_->add(std::move(method), std::move(path), {std::move(handler), {}, {}});
}
void HttpServer::stream(std::string method, std::string path, std::string content_type, StreamHandler handler) {
  impl_->add(std::move(method), std::move(path), {{}, std::move(handler), std::move(content_type)});
}
Task<Result<env::Endpoint>> HttpServer::start(std::vector<env::Endpoint> endpoints) {
  co_return co_await impl_->start(std::move(endpoints));
}
Task<void> HttpServer::stop() { co_await impl_->stop(); }

}  // namespace forelog::admin
