// system_random.h: the kernel's random numbers, for ids that nobody may guess.
#pragma once

#include "broker/env/random.h"

namespace forelog::env {

class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

}  // namespace forelog::env
