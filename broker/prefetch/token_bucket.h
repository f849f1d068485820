// token_bucket.h: so much a second, with a quarter of a second's worth saved up at most.
//
// Pure. Taking is allowed while anything is left and may overdraw, so that one large piece passes a small bucket; the
// debt is paid before the next.
#pragma once

#include "broker/base/time.h"

#include <algorithm>
#include <cstdint>

namespace forelog::prefetch {

class TokenBucket {
 public:
  explicit TokenBucket(std::int64_t per_second) : per_second_(per_second), tokens_(burst()) {}

  void configure(std::int64_t per_second) {
    per_second_ = per_second;
    tokens_ = std::min(tokens_, burst());
  }
  bool has_any(Instant now) {
    refill(now);
    return tokens_ > 0;
  }
  void take(std::int64_t tokens) { tokens_ -= static_cast<double>(tokens); }
  // When there will be some again; `now` when there are, never when there is no rate.
  Instant next(Instant now) {
    if (has_any(now)) return now;
    if (per_second_ <= 0) return Instant::max();
    auto wait = std::min(1.0 - tokens_, 3600.0 * static_cast<double>(per_second_)) / static_cast<double>(per_second_);
    return now + Duration(static_cast<std::int64_t>(wait * 1e9) + 1);
  }
  std::int64_t tokens() const { return static_cast<std::int64_t>(tokens_); }

 private:
  double burst() const { return std::max(static_cast<double>(per_second_) / 4, per_second_ > 0 ? 1.0 : 0.0); }
  void refill(Instant now) {
    if (now > filled_)
      tokens_ = std::min(burst(), tokens_ + to_seconds(now - filled_) * static_cast<double>(per_second_));
    filled_ = std::max(filled_, now);
  }

  std::int64_t per_second_;
  double tokens_;
  Instant filled_{};
};

}  // namespace forelog::prefetch
