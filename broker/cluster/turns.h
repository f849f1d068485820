// turns.h: one at a time across awaits, on one core.
#pragma once

#include "broker/env/event.h"

#include <optional>
#include <utility>

namespace forelog::cluster {

class Turns {
 public:
  explicit Turns(env::Clock& clock) : freed_(clock) {}

  // Held until destroyed.
  class Turn {
   public:
    explicit Turn(Turns& turns) : turns_(&turns) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ == nullptr) return;
      turns_->taken_ = false;
      turns_->freed_.notify();
    }

   private:
    Turns* turns_;
  };

  // None when `deadline` passed first.
  Task<std::optional<Turn>> take(Deadline deadline) {
    while (taken_) {
      if (!co_await freed_.wait(deadline)) co_return std::nullopt;
    }
    taken_ = true;
    co_return Turn(*this);
  }

 private:
  Event freed_;
  bool taken_ = false;
};

}  // namespace forelog::cluster
