#include "broker/env/real/system_clock.h"

#include "broker/env/real/reactors.h"
#include "broker/env/real/timer_heap.h"

#include <boost/asio/steady_timer.hpp>

namespace forelog::env {

struct SystemClock::CoreTimer {
  CoreTimer(SystemClock& of, boost::asio::io_context& io) : clock(of), timer(io) {}

  SystemClock& clock;
  TimerHeap heap;
  boost::asio::steady_timer timer;
  Instant armed_for = kForever;

  // The kernel timer is set only when a new sleeper comes before all others. That one may be cancelled again: then the
  // timer fires for nothing, which is cheaper than setting it at each cancellation.
  void arm(Instant at) {
    if (at >= armed_for) return;
    armed_for = at;
    timer.expires_at(std::chrono::steady_clock::time_point(at.time_since_epoch()));
    timer.async_wait([this](boost::system::error_code error) {
      if (!error) fire();
    });
  }
  void fire() {
    armed_for = kForever;
    auto now = clock.now();
    while (auto waiter = heap.pop_due(now)) waiter->wake();
    if (auto next = heap.next()) arm(*next);
  }
};

SystemClock::SystemClock(const Reactors& reactors, const std::vector<boost::asio::io_context*>& ios)
    : reactors_(reactors) {
  for (auto* io : ios) timers_.push_back(std::make_unique<CoreTimer>(*this, *io));
}

SystemClock::~SystemClock() = default;

// Woken, not dropped: a coroutine that sleeps is held by its own waiter, and goes with its core's queue once it stands
// there.
void SystemClock::forget_all() {
  for (auto& core : timers_) {
    while (auto waiter = core->heap.pop_due(Instant::max())) waiter->wake();
  }
  timers_.clear();
}

Instant SystemClock::now() const { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

WallTime SystemClock::wall() const {
  auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return WallTime(std::chrono::floor<std::chrono::milliseconds>(since_1970));
}

SystemClock::CoreTimer& SystemClock::here() { return *timers_[static_cast<std::size_t>(reactors_.current().value())]; }

Clock::TimerId SystemClock::wake_at(Instant at, WaiterPtr waiter) {
  if (reactors_.stopped()) return 0;
  auto& core = here();
  auto id = core.heap.add(at, std::move(waiter));
  core.arm(at);
  return id;
}

void SystemClock::cancel(TimerId timer) {
  if (reactors_.stopped()) return;  // a task that nobody joined goes with its core
  here().heap.cancel(timer);
}

}  // namespace forelog::env
