#include "broker/env/real/rests.h"

#include <chrono>
#include <thread>

namespace forelog::env {

bool RestRule::is_due(std::size_t handled) {
  handled_ += handled;
  if (handled_ < kStride * every_) return false;
  handled_ = 0;
  return true;
}

void RestRule::note_rest(Duration late) {
  if (late > kLate) {
    every_ = 1;
    in_time_ = 0;
  } else if (++in_time_ == kInTimeMax) {
    in_time_ = 0;
    if (every_ < kRarest) every_ *= 2;
  }
}

void Rests::after(std::size_t handled) {
  if (!rule_.is_due(handled)) return;
  auto began = std::chrono::steady_clock::now();
  if (!quick_.any(Instant(began.time_since_epoch()))) return;
  std::this_thread::sleep_for(RestRule::kRest);
  rule_.note_rest(std::chrono::steady_clock::now() - began - RestRule::kRest);
}

}  // namespace forelog::env
