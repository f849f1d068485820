#include "broker/env/real/send_pace.h"

#include <algorithm>

namespace forelog::env {

void SendTurn::begin(Instant now) {
  step_ = pace_.step(now);
  bool rested = pace_.rounds() != ended_in_ && now - ended_at_ >= step_.pause;
  left_ = rested ? step_.size : std::min(left_, step_.size);
}

void SendTurn::end(Instant now) {
  ended_at_ = now;
  ended_in_ = pace_.rounds();
}

void SendTurn::next(Instant now) {
  step_ = pace_.step(now);
  left_ = step_.size;
}

void SendTurn::note_sent(std::size_t size, std::size_t cost) {
  sent_since_read_ += size;
  left_ -= std::min(cost, left_);
}

}  // namespace forelog::env
