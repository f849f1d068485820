// random.h: the only source of random numbers; in the simulator it is drawn from the seed.
#pragma once

#include "broker/base/ids.h"

#include <cstdint>

namespace forelog::env {

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;  // any core

  // Uniform in [0, bound); 0 when bound is 0.
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  TopicId topic_id();  // a random UUID, version 4 (RFC 9562), never zero
};

}  // namespace forelog::env
