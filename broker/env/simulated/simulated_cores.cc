#include "broker/env/simulated/simulated_cores.h"

#include "broker/base/check.h"

#include <cstdio>
#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace forelog::env {
namespace {

using Roots = std::set<const void*>;

// Leak checkers must find the frames of tasks that a crash has cut short; they refer to each other in rings, but the
// frame of a root task is enough to reach all that it awaits.
struct Root {
  explicit Root(Roots& in) : roots(in) { roots.insert(this); }
  ~Root() { roots.erase(this); }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  Roots& roots;
};

Task<void> run_rooted(Roots& roots, Task<void> task) {
  Root root(roots);
  co_await std::move(task);
}

}  // namespace

void abandon(std::shared_ptr<void> memory) {
  static auto* graveyard = new std::vector<std::shared_ptr<void>>;  // NOLINT: never destroyed, on purpose
  graveyard->push_back(std::move(memory));
}

class SimulatedCores::Core final : public Runnable {
 public:
  Core(SimulatedCores& machine, int index) : machine_(machine), index_(index) {}

  bool run_one() override {
    if (one_in_ != 1 && (one_in_ == 0 || machine_.scheduler_.random().below(one_in_) != 0)) return false;
    auto before = std::exchange(machine_.current_, index_);
    bool ran = io_->poll_one() > 0;
    machine_.current_ = before;
    return ran;
  }
  boost::asio::io_context& io() { return *io_; }
  void slow_down(std::uint64_t one_in) { one_in_ = one_in; }
  std::shared_ptr<void> take_queue() {
    guard_.release();
    return std::move(io_);
  }

 private:
  // Without this an empty queue would count as finished. Released, not reset, when the queue is abandoned.
  struct Guard {
    explicit Guard(boost::asio::io_context& io)
        : work(std::make_unique<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>>(
              boost::asio::make_work_guard(io))) {}
    void release() { abandon(std::shared_ptr<void>(std::move(work))); }
    std::unique_ptr<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  };

  SimulatedCores& machine_;
  int index_;
  std::uint64_t one_in_ = 1;
  std::shared_ptr<boost::asio::io_context> io_ = std::make_shared<boost::asio::io_context>(1);
  Guard guard_{*io_};
};

WallTime SimulatedClock::wall() const {
  // The base is 2026-01-01T00:00:00Z.
  return from_ms(1767225600000 + to_ms(scheduler_.now().time_since_epoch() + wall_offset_));
}

Clock::TimerId SimulatedClock::wake_at(Instant at, WaiterPtr waiter) {
  auto core = cores_.current().value();
  auto wake = [this, core, waiter = std::move(waiter)] { cores_.run_as(core, [&] { waiter->wake(); }); };
  return scheduler_.at(at, cores_.life(), std::move(wake));
}

namespace {

// Lives are numbered by the scheduler's draws, so that no two machines share one.
Scheduler::OwnerId new_life(Scheduler& scheduler) { return scheduler.random().next() | 1; }

}  // namespace

SimulatedCores::SimulatedCores(Scheduler& scheduler, int count) : scheduler_(scheduler), clock_(scheduler, *this) {
  start_cores(count);
}

SimulatedCores::~SimulatedCores() {
  if (running_) crash();
}

void SimulatedCores::start_cores(int count) {
  roots_ = std::make_unique<Roots>();
  life_ = new_life(scheduler_);
  for (int i = 0; i < count; ++i) {
    cores_.push_back(std::make_unique<Core>(*this, i));
    scheduler_.add(*cores_.back());
  }
}

CoreId SimulatedCores::current() const {
  CHECK(current_ >= 0, "called outside a core");
  return CoreId{current_};
}

void SimulatedCores::post(CoreId core, std::move_only_function<void()> work) {
  boost::asio::post(cores_.at(static_cast<std::size_t>(core.value()))->io(), std::move(work));
}

void SimulatedCores::spawn(CoreId core, Task<void> task) {
  auto ended = [](const std::exception_ptr& error) {
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      check_failed(__FILE__, __LINE__, "no exception leaves a task", e.what());
    } catch (...) {
      check_failed(__FILE__, __LINE__, "no exception leaves a task", "");
    }
  };
  auto& io = cores_.at(static_cast<std::size_t>(core.value()))->io();
  boost::asio::co_spawn(io, run_rooted(*roots_, std::move(task)), ended);
}

void SimulatedCores::slow_down(int core, std::uint64_t one_in) {
  cores_.at(static_cast<std::size_t>(core))->slow_down(one_in);
}

void SimulatedCores::run_as(int core, const std::function<void()>& action) {
  auto before = std::exchange(current_, core);
  action();
  current_ = before;
}

void SimulatedCores::crash() {
  CHECK(running_ && current_ < 0, "a machine crashes from outside");
  running_ = false;
  for (auto& core : cores_) {
    scheduler_.remove(*core);
    abandon(core->take_queue());
  }
  abandon(std::shared_ptr<void>(std::move(roots_)));
  scheduler_.cancel_all_of(life_);
}

void SimulatedCores::restart() {
  CHECK(!running_);
  auto count = static_cast<int>(cores_.size());
  cores_.clear();
  start_cores(count);
  running_ = true;
}

}  // namespace forelog::env
