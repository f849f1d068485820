// failures.h: what an answer means: done, to be asked again, or an error that says what to do.
//
// Pure.
#pragma once

#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/s3/location.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::env::s3 {

// How a request ended below HTTP.
enum class Transport : std::uint8_t {
  ok,  // there is an answer
  unknown_host,
  refused,
  no_route,   // no connection within the time for one
  untrusted,  // the server's certificate
  tls,        // any other failure to agree on a secure connection
  stalled,    // no byte moved for too long
  broken,     // the connection ended in the middle
  deadline,
  stopping,
};

struct Answer {
  Transport transport = Transport::ok;
  std::string detail{};  // of a failure, as the library says it
  int status = 0;
  std::map<std::string, std::string> headers{};  // by name in lower case
  std::string body{};

  std::string header(const std::string& name) const {
    auto at = headers.find(name);
    return at == headers.end() ? std::string() : at->second;
  }
};

enum class Outcome : std::uint8_t { ok, not_found, throttled, server_error, refused, transport, timeout };
constexpr std::array<std::string_view, 7> enum_names(Outcome) {
  return {"ok", "not_found", "throttled", "server_error", "refused", "transport", "timeout"};
}

struct Verdict {
  Outcome outcome = Outcome::ok;
  bool again = false;         // the same request may do better in a moment
  bool keys_expired = false;  // other credentials may be there by now
  Error error{};              // unless ok
};
// `what` names the request for people: "GET forelog/…/0.0".
Verdict judge(const Answer& answer, const Location& location, const std::string& what, WallTime now);

// How long to wait before the `attempt`th try after the first (1, 2, …), or none when that would not end before
// `left`. `draw` is uniform. Throttled requests wait longer.
struct Backoff {
  Duration first = 50ms;
  Duration longest = 5s;
};
std::optional<Duration> pause_before(int attempt, Outcome outcome, const Backoff& backoff, Duration left,
                                     std::uint64_t draw);

}  // namespace forelog::env::s3
