// timer_heap.h: who wants to be woken when. Pure; belongs to one core.
//
// Most timers are deadlines that never come: setting and cancelling are O(log n) without allocation once warm, and a
// cancelled one is gone at once, with what it kept alive.
#pragma once

#include "broker/base/time.h"
#include "broker/env/clock.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace forelog::env {

class TimerHeap {
 public:
  Clock::TimerId add(Instant at, WaiterPtr waiter);
  void cancel(Clock::TimerId id);  // nothing happens for one that has gone
  // The moment of the earliest one.
  std::optional<Instant> next() const;
  // Takes out the earliest one that is due at `now`; null when there is none.
  WaiterPtr pop_due(Instant now);
  std::size_t size() const { return heap_.size(); }

 private:
  // A timer has a slot for its life; the heap orders slots. The generation tells an id of a former life.
  struct Slot {
    WaiterPtr waiter;
    std::uint32_t generation = 1;
    std::uint32_t position = 0;
  };
  struct Item {
    Instant at;
    std::uint32_t slot = 0;
  };

  void place(std::size_t position, Item item);
  void sift(std::size_t position, Item item);
  WaiterPtr take(std::size_t position);

  std::vector<Item> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
};

}  // namespace forelog::env
