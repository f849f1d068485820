// http_connection.h: one HTTP/1.1 connection: requests in, answers out, one after another.
//
// The parser is Boost.Beast's; bytes come and go through env::Connection. Everything a client can make us hold is
// bounded.
#pragma once

#include "broker/admin/http_server.h"

#include <functional>
#include <string>

namespace forelog::admin {

inline constexpr std::size_t kHttpHeadMax = 16 << 10;
inline constexpr std::size_t kHttpBodyMax = 1 << 20;
inline constexpr Duration kHttpTimeout = 10s;  // for a request to arrive, or a piece of an answer to leave

// What a request leads to: an answer, or a stream of pieces of `content_type`.
struct HttpRoute {
  HttpServer::Handler handler;
  HttpServer::StreamHandler stream;
  std::string content_type;
};
// The route of a method and path. Null: no such path; a route without handlers: the path exists, for other methods.
using FindRoute = std::function<const HttpRoute*(const std::string& method, const std::string& path)>;

// Serves `connection` until it closes, errs, says nothing for too long, or `stopping` is set. Closes it.
Task<void> serve_http(env::ConnectionPtr connection, env::Clock& clock, const FindRoute& find, const bool& stopping);

// "/a%20b?x=1&y" in parts; none when an escape is broken.
struct HttpTarget {
  std::string path;
  std::map<std::string, std::string> query;
};
std::optional<HttpTarget> parse_target(std::string_view target);

}  // namespace forelog::admin
