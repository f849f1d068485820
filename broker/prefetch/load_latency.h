// load_latency.h: how long a load takes, from asking to having it: a high percentile of the newest loads.
//
// Pure. The percentile is taken again after every sixteenth load; until the first one, a guess that suits object
// stores.
#pragma once

#include "broker/base/time.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace forelog::prefetch {

class LoadLatency {
 public:
  void note(Duration latency) {
    newest_[noted_++ % newest_.size()] = latency;
    if (noted_ % 16 != 1 && noted_ > 16) return;
    auto known = std::min(noted_, newest_.size());
    auto sorted = newest_;
    auto at = sorted.begin() + static_cast<std::ptrdiff_t>((known - 1) * 98 / 100);
    std::nth_element(sorted.begin(), at, sorted.begin() + static_cast<std::ptrdiff_t>(known));
    high_ = *at;
  }
  Duration high() const { return high_; }

 private:
  std::array<Duration, 256> newest_{};
  std::size_t noted_ = 0;
  Duration high_ = 50ms;
};

}  // namespace forelog::prefetch
