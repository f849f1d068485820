// http_transfers.h: HTTP requests to one server, hundreds at once, on one thread of their own: libcurl's multi
// interface over epoll.
//
// Any core may send. Connections are kept and used again. Of the requests at once, a quarter is kept for reads that
// somebody waits for (env/s3/request_slots.h). The body of a good answer is posted to the core that asked while it
// arrives; other bodies come with the answer. Redirects are not followed: a signature holds for one host.
#pragma once

#include "broker/env/cores.h"
#include "broker/env/object_store.h"
#include "broker/env/real/rests.h"
#include "broker/env/s3/failures.h"
#include "broker/env/s3/request_slots.h"
#include "broker/env/s3/signature.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace forelog::env {

struct HttpRequest {
  std::string method;
  std::string url;
  s3::Headers headers;
  Slices body;  // of PUT and POST
  TrafficClass traffic = TrafficClass::cold;
  Duration stall_max{};  // without a byte moving; rounded up to seconds
};

class HttpTransfers {
 public:
  struct Options {
    std::size_t requests_max = 256;
    Duration connect_timeout = 3s;
    std::string ca_file;  // empty: the system's
  };
  // While clients are `quick`, the thread rests between the pieces that it receives.
  HttpTransfers(Cores& cores, Clock& clock, const QuickClients& quick, Options options);
  ~HttpTransfers();  // as `stop`
  HttpTransfers(const HttpTransfers&) = delete;
  HttpTransfers& operator=(const HttpTransfers&) = delete;

  // Takes pieces of the body of an answer with status 2xx, with what is known of the answer before them. On the core
  // that asked, never after `send` has returned. False: no more of it is wanted; `send` returns, and the connection
  // ends.
  using OnBody = std::move_only_function<bool(const s3::Answer& head, ObjectStore::Piece piece)>;
  // Without `on_body` the body stands in the answer, up to kBodyMax; more breaks the transfer. Always returns soon
  // after `deadline`, at the latest.
  static constexpr std::size_t kBodyMax = 8 << 20;
  Task<s3::Answer> send(HttpRequest request, OnBody on_body, Deadline deadline);

  // Ends what is under way with Transport::stopping, and so what comes later. Any thread.
  void interrupt();
  // As `interrupt`, and joins the thread. While the cores still exist.
  void stop();

  // At this moment; any thread.
  std::int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  std::int64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }
  std::int64_t connections_opened() const { return connections_opened_.load(std::memory_order_relaxed); }

 private:
  struct Reply;
  struct Transfer;
  class Loop;

  Cores& cores_;
  Clock& clock_;
  std::unique_ptr<Loop> loop_;
  std::atomic<std::int64_t> in_flight_{0}, waiting_{0}, connections_opened_{0};
  std::once_flag stopped_;
  std::thread thread_;
};

}  // namespace forelog::env
