// event.h: wait until notified, or until a deadline. One of the four primitives.
//
// An Event belongs to the core that made it; waiting and notifying happen there. It remembers nothing: who waits looks
// at the state first, and again after waking, because a notification says "look", not "it is so".
//
//   while (!ready_) {
//     if (!co_await event_.wait(deadline)) co_return fail(ErrorCode::kTimeout, "…");
//   }
#pragma once

#include "broker/base/time.h"
#include "broker/env/clock.h"
#include "broker/env/task.h"

#include <cstdint>
#include <memory>

namespace forelog {

class Event {
 public:
  explicit Event(env::Clock& clock);
  ~Event();  // wakes who still waits, as if notified
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // True when notified, false when `deadline` passed first.
  Task<bool> wait(Deadline deadline);

  // Wakes all who wait now. They run later, from the core's queue, never inside this call.
  void notify();

  // How often it has been notified: who reads this before looking at the state sees what it missed until it waits.
  std::uint64_t count() const;
  // Waits unless it has been notified since `count()` was `seen`.
  Task<bool> wait_since(std::uint64_t seen, Deadline deadline);

  bool has_waiters() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Suspends until `at`.
Task<void> sleep_until(env::Clock& clock, Instant at);

}  // namespace forelog
