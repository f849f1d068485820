// sasl_authenticate.h: key 36. One step of a SASL exchange. v1 adds the session's life time; 2 is flexible.
#pragma once

#include "broker/wire/codec.h"

#include <optional>
#include <string>

namespace forelog::wire {

struct SaslAuthenticateResponse;

struct SaslAuthenticateRequest {
  static constexpr ApiKey api = ApiKey::kSaslAuthenticate;
  using Response = SaslAuthenticateResponse;

  Buffer auth_bytes;
  static constexpr auto fields = [](auto& m, auto&& field) { field("auth_bytes", m.auth_bytes); };
};

struct SaslAuthenticateResponse {
  static constexpr ApiKey api = ApiKey::kSaslAuthenticate;

  WireError error_code;
  std::optional<std::string> error_message;
  Buffer auth_bytes;
  std::int64_t session_lifetime_ms = 0;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("error_code", m.error_code);
    field("error_message", m.error_message);
    field("auth_bytes", m.auth_bytes);
    field("session_lifetime_ms", m.session_lifetime_ms, since(1));
  };
};

}  // namespace forelog::wire
