// line_limit.h: how many log lines of one kind a second are worth writing. A storm of bad requests must not become a
// storm of lines: the counters say how many there were.
//
// Pure; one a core, used on that core only.
#pragma once

#include "broker/base/time.h"

#include <cstdint>
#include <optional>

namespace forelog {

class LineLimit {
 public:
  explicit LineLimit(std::int64_t per_second) : per_second_(per_second) {}

  // Whether a line may be written at `now`; then, how many have been left out since the last one that was.
  std::optional<std::int64_t> allow(Instant now) {
    if (now - began_ >= std::chrono::seconds(1)) began_ = now, written_ = 0;
    if (written_ >= per_second_) return ++left_out_, std::nullopt;
    ++written_;
    auto before = left_out_;
    left_out_ = 0;
    return before;
  }

 private:
  std::int64_t per_second_;
  std::int64_t written_ = 0;   // in this second
  std::int64_t left_out_ = 0;  // since the last line
  Instant began_{};
};

}  // namespace forelog
