// request_slots.h: which of the waiting requests may go out now, when only so many may be under way.
//
// Pure. A quarter of the slots is kept for reads that somebody waits for: prefetches and uploads together leave it
// free, and uploads alone take no more than a quarter. Waiting requests go by class in the order of TrafficClass, and
// within one first come, first served.
#pragma once

#include "broker/env/budget.h"

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

namespace forelog::env::s3 {

class SlotCounts {
 public:
  explicit SlotCounts(std::size_t limit) : limit_(limit) {}

  bool may_start(TrafficClass traffic) const {
    auto in_background = of(TrafficClass::prefetch) + of(TrafficClass::archive);
    switch (traffic) {
      case TrafficClass::tail:
      case TrafficClass::cold:
        return total() < limit_;
      case TrafficClass::prefetch:
        return total() < limit_ && in_background < limit_ - limit_ / 4;
      case TrafficClass::archive:
        return total() < limit_ && in_background < limit_ - limit_ / 4 && of(traffic) < limit_ / 4;
    }
    return false;
  }
  void start(TrafficClass traffic) { ++started_[static_cast<std::size_t>(traffic)]; }
  void end(TrafficClass traffic) { --started_[static_cast<std::size_t>(traffic)]; }
  std::size_t total() const { return started_[0] + started_[1] + started_[2] + started_[3]; }

 private:
  std::size_t of(TrafficClass traffic) const { return started_[static_cast<std::size_t>(traffic)]; }
  std::size_t limit_;
  std::array<std::size_t, kTrafficClasses> started_{};
};

// The waiting requests. T is a pointer to one.
template <class T>
class RequestSlots {
 public:
  explicit RequestSlots(std::size_t limit) : counts_(limit) {}

  void wait(TrafficClass traffic, T request) {
    waiting_[static_cast<std::size_t>(traffic)].push_back(std::move(request));
  }
  // The next that may go out; it has its slot from now until `end`.
  std::optional<T> start_next() {
    for (std::size_t i = 0; i < kTrafficClasses; ++i) {
      auto traffic = static_cast<TrafficClass>(i);
      if (waiting_[i].empty() || !counts_.may_start(traffic)) continue;
      auto request = std::move(waiting_[i].front());
      waiting_[i].pop_front();
      counts_.start(traffic);
      return request;
    }
    return std::nullopt;
  }
  void end(TrafficClass traffic) { counts_.end(traffic); }

  // Takes out those waiting for which `gone` is true, and hands each to `drop`.
  template <class Gone, class Drop>
  void remove_if(Gone gone, Drop drop) {
    for (auto& queue : waiting_) {
      std::deque<T> kept;
      for (auto& request : queue) {
        if (gone(request))
          drop(std::move(request));
        else
          kept.push_back(std::move(request));
      }
      queue = std::move(kept);
    }
  }

  std::size_t in_flight() const { return counts_.total(); }
  std::size_t waiting() const {
    std::size_t sum = 0;
    for (const auto& queue : waiting_) sum += queue.size();
    return sum;
  }

 private:
  SlotCounts counts_;
  std::array<std::deque<T>, kTrafficClasses> waiting_;
};

}  // namespace forelog::env::s3
