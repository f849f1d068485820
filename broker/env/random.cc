#include "broker/env/random.h"

namespace forelog::env {

TopicId Random::topic_id() {
  TopicId id;
  for (std::size_t half = 0; half < 2; ++half) {
    auto bits = next();
    for (std::size_t i = 0; i < 8; ++i) id.bytes[half * 8 + i] = static_cast<std::uint8_t>(bits >> (8 * i));
  }
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x40);
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

}  // namespace forelog::env
