// scheduler.h: the heart of the simulator. One thread runs every core of every machine, one handler at a time, in an
// order drawn from the seed; when all cores are idle, time jumps to the next action.
//
// The same seed gives the same run. Nothing here may depend on addresses, real time or hash order.
#pragma once

#include "broker/base/time.h"
#include "broker/env/simulated/seeded_random.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace forelog::env {

// Something with a queue of handlers: a core of a machine.
class Runnable {
 public:
  virtual ~Runnable() = default;
  virtual bool run_one() = 0;  // false when its queue is empty
};

class Scheduler {
 public:
  using Action = std::move_only_function<void()>;
  using ActionId = std::uint64_t;
  using OwnerId = std::uint64_t;
  static constexpr OwnerId kWorld = 0;

  explicit Scheduler(std::uint64_t seed);

  Instant now() const { return now_; }
  SeededRandom& random() { return random_; }

  // Runs `action` at `when`, or now if that has passed. Among actions of one moment the seed decides.
  ActionId at(Instant when, OwnerId owner, Action action);
  ActionId after(Duration delay, Action action) { return at(now_ + delay, kWorld, std::move(action)); }
  void cancel(ActionId id);
  void cancel_all_of(OwnerId owner);

  void add(Runnable& core) { cores_.push_back(&core); }
  void remove(Runnable& core) { std::erase(cores_, &core); }

  // Runs one handler, else the next action that is due by `limit`. False when there is neither.
  bool step(Instant limit);
  // Steps until `done`, and says whether that came by `limit`.
  bool run_until(const std::function<bool()>& done, Instant limit);
  void advance_to(Instant when) { now_ = std::max(now_, when); }

  std::uint64_t events() const { return events_; }
  std::uint64_t trace_hash() const { return trace_; }
  // Mixes something observed into the trace, so that runs which differ in it differ in their hash.
  void trace(std::uint64_t value);

 private:
  struct Key {
    Instant when;
    std::uint64_t tie = 0;
    ActionId id = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Entry {
    OwnerId owner = kWorld;
    Action action;
  };

  bool run_a_core();

  Instant now_{};
  SeededRandom random_;
  std::vector<Runnable*> cores_;
  std::map<Key, Entry> actions_;
  std::unordered_map<ActionId, Key> keys_;
  ActionId last_id_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t events_at_this_moment_ = 0;
  std::uint64_t trace_ = 0xcbf29ce484222325ULL;
};

}  // namespace forelog::env
