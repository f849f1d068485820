#include "broker/env/simulated/scheduler.h"

#include "broker/base/check.h"

namespace forelog::env {
namespace {

// More handlers than this without time moving on is a loop that waits for nothing.
constexpr std::uint64_t kEventsAtOneMomentMax = 20'000'000;

}  // namespace

Scheduler::Scheduler(std::uint64_t seed) : random_(seed) { advance_to(Instant{} + 1s); }

Scheduler::ActionId Scheduler::at(Instant when, OwnerId owner, Action action) {
  Key key{std::max(when, now_), random_.next(), ++last_id_};
  keys_.emplace(key.id, key);
  actions_.emplace(key, Entry{owner, std::move(action)});
  return key.id;
}

void Scheduler::cancel(ActionId id) {
  auto found = keys_.find(id);
  if (found == keys_.end()) return;
  actions_.erase(found->second);
  keys_.erase(found);
}

void Scheduler::cancel_all_of(OwnerId owner) {
  for (auto at = actions_.begin(); at != actions_.end();) {
    if (at->second.owner == owner) {
      keys_.erase(at->first.id);
      at = actions_.erase(at);
    } else {
      ++at;
    }
  }
}

bool Scheduler::run_a_core() {
  auto count = cores_.size();
  auto first = static_cast<std::size_t>(random_.below(count));
  for (std::size_t i = 0; i < count; ++i) {
    auto index = (first + i) % count;
    if (!cores_[index]->run_one()) continue;
    trace(index);
    return true;
  }
  return false;
}

bool Scheduler::step(Instant limit) {
  ++events_;
  CHECK(++events_at_this_moment_ < kEventsAtOneMomentMax, "the simulated tasks spin without waiting for anything");
  if (run_a_core()) return true;
  if (actions_.empty() || actions_.begin()->first.when > limit) return false;
  auto next = actions_.extract(actions_.begin());
  keys_.erase(next.key().id);
  if (next.key().when > now_) events_at_this_moment_ = 0;
  advance_to(next.key().when);
  trace(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  next.mapped().action();
  return true;
}

bool Scheduler::run_until(const std::function<bool()>& done, Instant limit) {
  while (!done()) {
    if (!step(limit)) {
      advance_to(limit);
      return done();
    }
  }
  return true;
}

void Scheduler::trace(std::uint64_t value) {
  trace_ = (trace_ ^ value) * 0x100000001b3ULL;
  trace_ ^= trace_ >> 29;
}

}  // namespace forelog::env
