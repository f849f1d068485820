#include "tests/simulation/wire_client.h"

#include "broker/wire/api_versions.h"

#include <algorithm>

namespace forelog::simulation {

Task<Result<void>> WireClient::open(env::Endpoint broker, Deadline deadline) {
  connection_ = CO_TRY(co_await env_.network.connect(std::move(broker), deadline));
  wire::ApiVersionsRequest request;
  request.client_software_name = "simulation";
  request.client_software_version = "1";
  auto answer = CO_TRY(co_await call(std::move(request), 3, deadline));
  for (const auto& api : answer.api_keys) offered_[api.api_key] = {api.min_version, api.max_version};
  co_return Result<void>{};
}

void WireClient::close() {
  if (connection_) connection_->close();
}

wire::Version WireClient::version(wire::ApiKey api, int wanted) const {
  auto found = offered_.find(static_cast<std::int16_t>(api));
  CHECK(found != offered_.end(), "an API that clients need is not advertised");
  return static_cast<wire::Version>(std::clamp<int>(wanted, found->second.min, found->second.max));
}

Task<Result<void>> WireClient::write(Slices frame, Deadline deadline) {
  co_return co_await connection_->write(std::move(frame), deadline);
}

Task<Result<Buffer>> WireClient::read(std::int32_t id, const wire::ApiRow& api, wire::Version version,
                                      Deadline deadline) {
  while (true) {
    if (auto frame = CO_TRY(frames_.next())) {
      auto response = CO_TRY(wire::parse_response(*frame, api, version));
      if (response.correlation_id != id) co_return fail(ErrorCode::kMalformed, "an answer to another request");
      co_return std::move(response.body);
    }
    auto space = frames_.space();
    auto size = CO_TRY(co_await connection_->read(space, deadline));
    if (size == 0) co_return fail(ErrorCode::kConnectionClosed, "by the broker");
    frames_.filled(size);
  }
}

}  // namespace forelog::simulation
