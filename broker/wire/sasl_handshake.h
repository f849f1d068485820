// sasl_handshake.h: key 17. Choose a SASL mechanism. After v0 tokens follow as bare frames, after v1 as
// SaslAuthenticate.
#pragma once

#include "broker/wire/codec.h"

#include <string>
#include <vector>

namespace forelog::wire {

struct SaslHandshakeResponse;

struct SaslHandshakeRequest {
  static constexpr ApiKey api = ApiKey::kSaslHandshake;
  using Response = SaslHandshakeResponse;

  std::string mechanism;
  static constexpr auto fields = [](auto& m, auto&& field) { field("mechanism", m.mechanism); };
};

struct SaslHandshakeResponse {
  static constexpr ApiKey api = ApiKey::kSaslHandshake;

  WireError error_code;
  std::vector<std::string> mechanisms;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("error_code", m.error_code);
    field("mechanisms", m.mechanisms);
  };
};

}  // namespace forelog::wire
