// init_producer_id.h: key 22. A producer id and epoch, for idempotent or transactional producers.
//
// v2 is flexible; 3 lets a producer ask for the next epoch of the id that it has; 4 may say PRODUCER_FENCED; 5
// TRANSACTION_ABORTABLE; 6 (not served) is for two-phase commit.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>

namespace forelog::wire {

struct InitProducerIdResponse;

struct InitProducerIdRequest {
  static constexpr ApiKey api = ApiKey::kInitProducerId;
  using Response = InitProducerIdResponse;

  std::optional<std::string> transactional_id;
  std::int32_t transaction_timeout_ms = 0;
  ProducerId producer_id{-1};
  std::int16_t producer_epoch = -1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("transactional_id", m.transactional_id);
    field("transaction_timeout_ms", m.transaction_timeout_ms);
    field("producer_id", m.producer_id, since(3));
    field("producer_epoch", m.producer_epoch, since(3));
  };
};

struct InitProducerIdResponse {
  static constexpr ApiKey api = ApiKey::kInitProducerId;

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  ProducerId producer_id{-1};
  std::int16_t producer_epoch = 0;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code);
    field("producer_id", m.producer_id);
    field("producer_epoch", m.producer_epoch);
  };
};

}  // namespace forelog::wire
