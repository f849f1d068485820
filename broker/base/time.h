// time.h: moments and spans. Monotonic and wall time are different types and never compared.
#pragma once

#include <chrono>
#include <cstdint>

namespace forelog {

using namespace std::chrono_literals;

using Duration = std::chrono::nanoseconds;

// Time since an arbitrary start, never going back. Only `env::Clock` makes one.
struct MonotonicTime {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicTime>;
  static constexpr bool is_steady = true;
};
using Instant = MonotonicTime::time_point;

// Milliseconds since 1970, as in records; may jump.
struct WallClockTime {
  using duration = std::chrono::milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<WallClockTime>;
  static constexpr bool is_steady = false;
};
using WallTime = WallClockTime::time_point;

// The moment after which waiting ends with ErrorCode::kTimeout or `false`.
using Deadline = Instant;
inline constexpr Deadline kForever = Instant::max();

constexpr std::int64_t to_ms(WallTime t) { return t.time_since_epoch().count(); }
constexpr WallTime from_ms(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }
constexpr std::int64_t to_ms(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }
constexpr std::int64_t to_us(Duration d) { return std::chrono::duration_cast<std::chrono::microseconds>(d).count(); }
constexpr double to_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace forelog
