// simulated_cores.h: the cores and the clock of one simulated machine.
#pragma once

#include "broker/env/cores.h"
#include "broker/env/simulated/scheduler.h"

#include <memory>
#include <set>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace forelog::env {

class SimulatedClock final : public Clock {
 public:
  SimulatedClock(Scheduler& scheduler, class SimulatedCores& cores) : scheduler_(scheduler), cores_(cores) {}

  Instant now() const override { return scheduler_.now(); }
  WallTime wall() const override;
  TimerId wake_at(Instant at, WaiterPtr waiter) override;
  void cancel(TimerId timer) override { scheduler_.cancel(timer); }

  void jump_wall(Duration by) { wall_offset_ += by; }

 private:
  Scheduler& scheduler_;
  SimulatedCores& cores_;
  Duration wall_offset_{};
};

class SimulatedCores final : public Cores {
 public:
  SimulatedCores(Scheduler& scheduler, int count);
  ~SimulatedCores() override;

  int count() const override { return static_cast<int>(cores_.size()); }
  CoreId current() const override;
  bool on_a_core() const override { return current_ >= 0; }
  void post(CoreId core, std::move_only_function<void()> work) override;
  void spawn(CoreId core, Task<void> task) override;
  Clock& clock() override { return clock_; }
  SimulatedClock& simulated_clock() { return clock_; }

  // Ends everything that runs here, in mid-step, as a power cut does: no task resumes, no destructor of theirs runs.
  void crash();
  // A crashed machine with empty queues.
  void restart();
  bool running() const { return running_; }
  // From now on `core` gets to run once in `one_in` times that it could: 1 is as usual, 0 is never. Time goes on
  // meanwhile.
  void slow_down(int core, std::uint64_t one_in);
  // Grows with each restart; what belongs to an earlier life is dead.
  Scheduler::OwnerId life() const { return life_; }

  // Runs `action` as if it were a handler of `core`.
  void run_as(int core, const std::function<void()>& action);

 private:
  class Core;
  void start_cores(int count);

  Scheduler& scheduler_;
  SimulatedClock clock_;
  std::vector<std::unique_ptr<Core>> cores_;
  std::unique_ptr<std::set<const void*>> roots_;  // frames of spawned tasks
  int current_ = -1;
  bool running_ = true;
  Scheduler::OwnerId life_ = 0;
};

// Keeps `memory` for ever without destroying it, as the memory of a dead process is not destroyed. What referred to a
// crashed machine goes here, because its tasks never end and their group could not be joined.
void abandon(std::shared_ptr<void> memory);

}  // namespace forelog::env
