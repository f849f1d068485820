// clock.h: time, as the broker is told it.
#pragma once

#include "broker/base/time.h"

#include <memory>

namespace forelog::env {

// Something that can be woken once. `wake` runs on the core that registered it and must return soon.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual void wake() = 0;
};
using WaiterPtr = std::shared_ptr<Waiter>;

class Clock {
 public:
  using TimerId = std::uint64_t;
  virtual ~Clock() = default;

  virtual Instant now() const = 0;  // any thread
  virtual WallTime wall() const = 0;

  // Wakes `waiter` on the calling core at `at` or soon after. Cancelling a timer that has fired does nothing.
  virtual TimerId wake_at(Instant at, WaiterPtr waiter) = 0;
  virtual void cancel(TimerId timer) = 0;
};

}  // namespace forelog::env
