// rests.h: pauses in which threads that work for history leave the CPUs to clients that wait for little.
//
// A kernel that does not preempt itself lets such a thread copy for as long as something lies ready, and who waits for
// that CPU waits on, up to a tick of 4 ms; their nice value (scheduling.h) decides only who comes next. So while
// clients are there that ask often and are answered with little, these threads rest after each piece.
#pragma once

#include "broker/base/time.h"

#include <atomic>
#include <cstddef>

namespace forelog::env {

// Whether somebody asks often for little, on any core of the process.
class QuickClients {
 public:
  static constexpr Duration kRemembered = 20ms;

  // Any thread. `now`: of a clock that SystemClock shows.
  void note(Instant now) { until_.store((now + kRemembered).time_since_epoch().count(), std::memory_order_relaxed); }
  bool any(Instant now) const { return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed); }

 private:
  std::atomic<Instant::rep> until_{0};
};

// When a thread rests. Pure. Where CPUs are free, nobody is helped by a rest, and it would only slow history down: who
// comes back from one in time rests ever more rarely, until it is late for once.
class RestRule {
 public:
  static constexpr std::size_t kStride = 64 << 10;  // of bytes handled
  static constexpr Duration kRest = 300us;
  static constexpr Duration kLate = 100us;  // others had the CPU; a timer alone takes up to 60 µs
  static constexpr int kInTimeMax = 64;     // in a row, until rests become rarer by half
  static constexpr std::size_t kRarest = 64;

  // The thread has handled so many bytes more. True: it rests now.
  bool is_due(std::size_t handled);
  // It came back from a rest by so much later than it wanted to.
  void note_rest(Duration late);

 private:
  std::size_t handled_ = 0;
  std::size_t every_ = 1;  // strides
  int in_time_ = 0;
};

// Of one thread.
class Rests {
 public:
  explicit Rests(const QuickClients& quick) : quick_(quick) {}

  // The thread has handled so many bytes; blocks for a rest if one is due.
  void after(std::size_t handled);

 private:
  const QuickClients& quick_;
  RestRule rule_;
};

}  // namespace forelog::env
