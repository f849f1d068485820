// dispatch.h: a frame → the handler of its API → a frame. One a core.
//
// Kafka's rule for what cannot be parsed (unknown key, unsupported version, malformed body): close the connection, with
// a log line and a counter; but an unsupported version of ApiVersions is answered in version 0 (KIP-511).
#pragma once

#include "broker/api/request_memory.h"
#include "broker/api/services.h"
#include "broker/base/bytes.h"
#include "broker/base/line_limit.h"
#include "broker/base/metrics.h"

#include <map>
#include <memory>
#include <string>

namespace forelog::api {

struct Request {
  Buffer frame;  // without its length; nobody else holds it
  std::shared_ptr<ClientInfo> client;
  Instant received;
  env::Reservation memory{};  // what is set aside for the frame
};

struct Reply {
  Slices slices;              // a whole response frame; empty when none is due
  bool close = false;         // after sending
  env::Reservation memory{};  // what is set aside for `slices`, until they are sent
};

// What a connection does with a frame.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  virtual Task<Reply> handle(Request request) = 0;
  // Notes that a connection is closed because of what its client sent.
  virtual void refused(const ClientInfo& client, const Error& error) = 0;
  // Where memory for a frame is set aside; null: there is no bound.
  virtual RequestMemory* memory() { return nullptr; }
};

class Dispatcher final : public RequestHandler {
 public:
  Dispatcher(Services& services, MetricsRegistry& metrics);
  ~Dispatcher() override;

  Task<Reply> handle(Request request) override;
  void refused(const ClientInfo& client, const Error& error) override;
  RequestMemory* memory() override { return &memory_; }
  // Lets go of requests that wait for memory. No other begins.
  Task<void> stop() { return memory_.stop(); }

 private:
  struct Metrics;
  Services& services_;
  std::unique_ptr<Metrics> metrics_;
  RequestMemory memory_;
  LineLimit refusals_{10};
};

}  // namespace forelog::api
