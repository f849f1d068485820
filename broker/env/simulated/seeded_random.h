// seeded_random.h: a stream of numbers that depends on its seed alone (SplitMix64).
#pragma once

#include "broker/base/time.h"
#include "broker/env/random.h"
#include "broker/env/simulated/faults.h"

namespace forelog::env {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() override {
    state_ += 0x9e3779b97f4a7c15ULL;
    auto z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  bool chance(double probability) {
    if (probability <= 0) return false;  // and draw nothing: a fault that is off leaves the trace alone
    return static_cast<double>(next() >> 11) * 0x1p-53 < probability;
  }
  Duration between(DurationRange range) {
    auto width = static_cast<std::uint64_t>((range.max - range.min).count());
    return range.min + Duration(static_cast<std::int64_t>(below(width + 1)));
  }

 private:
  std::uint64_t state_;
};

}  // namespace forelog::env
