// waste_meter.h: prefetched bytes never read, divided by all bytes read from the archive, over five minutes.
//
// Pure. Counts in slots of ten seconds.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/time.h"

#include <array>
#include <cstdint>

namespace forelog::prefetch {

class WasteMeter {
 public:
  void note(Instant now, Bytes loaded, Bytes wasted) {
    auto number = slot_of(now);
    auto& slot = slots_[static_cast<std::size_t>(number) % kSlots];
    if (slot.number != number) slot = {number, 0, 0};
    slot.loaded += loaded;
    slot.wasted += wasted;
  }
  double share(Instant now) const {
    Bytes loaded = 0, wasted = 0;
    for (const auto& slot : slots_) {
      if (slot.number <= slot_of(now) - static_cast<std::int64_t>(kSlots)) continue;
      loaded += slot.loaded, wasted += slot.wasted;
    }
    return loaded == 0 ? 0 : static_cast<double>(wasted) / static_cast<double>(loaded);
  }

 private:
  static constexpr std::size_t kSlots = 30;
  struct Slot {
    std::int64_t number = -static_cast<std::int64_t>(kSlots);
    Bytes loaded = 0, wasted = 0;
  };
  static std::int64_t slot_of(Instant now) { return now.time_since_epoch() / 10s; }
  std::array<Slot, kSlots> slots_{};
};

}  // namespace forelog::prefetch
