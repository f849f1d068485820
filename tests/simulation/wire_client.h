// wire_client.h: one connection of a simulated client, speaking Kafka's protocol to the broker.
//
// Belongs to one task. After a failure the connection is worth nothing: close it and open another.
#pragma once

#include "broker/env/env.h"
#include "broker/wire/codec.h"
#include "broker/wire/frame.h"

#include <map>
#include <string>

namespace forelog::simulation {

class WireClient {
 public:
  WireClient(env::Env& env, std::string client_id) : env_(env), client_id_(std::move(client_id)) {}
  ~WireClient() { close(); }
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;

  // Connects, and asks which versions are offered, as every client does first.
  Task<Result<void>> open(env::Endpoint broker, Deadline deadline);
  void close();

  // `wanted`, or the nearest version of the API that the broker advertises.
  wire::Version version(wire::ApiKey api, int wanted) const;

  template <wire::ApiMessage Request>
  Task<Result<typename Request::Response>> call(Request request, wire::Version version, Deadline deadline) {
    auto id = CO_TRY(co_await send(std::move(request), version, deadline));
    co_return co_await receive<typename Request::Response>(id, version, deadline);
  }

  // The two halves of a call, for requests in flight together. Answers come in the order of the requests.
  template <wire::ApiMessage Request>
  Task<Result<std::int32_t>> send(Request request, wire::Version version, Deadline deadline) {
    auto id = ++last_id_;
    auto frame = wire::encode_request(request, version, id, client_id_);
    CO_TRY(co_await write(std::move(frame), deadline));
    co_return id;
  }
  template <wire::ApiMessage Response>
  Task<Result<Response>> receive(std::int32_t id, wire::Version version, Deadline deadline) {
    auto body = CO_TRY(co_await read(id, wire::row_of(Response::api), version, deadline));
    co_return wire::decode<Response>(body, version);
  }

 private:
  Task<Result<void>> write(Slices frame, Deadline deadline);
  Task<Result<Buffer>> read(std::int32_t id, const wire::ApiRow& api, wire::Version version, Deadline deadline);

  env::Env& env_;
  std::string client_id_;
  env::ConnectionPtr connection_;
  wire::FrameReader frames_{64_MiB};
  std::int32_t last_id_ = 0;
  std::map<std::int16_t, wire::VersionRange> offered_;
};

}  // namespace forelog::simulation
