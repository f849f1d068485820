#include "broker/env/real/reactors.h"

#include "broker/env/real/system_clock.h"

#include <exception>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

namespace forelog::env {
namespace {

// Which core of which reactors this thread is.
thread_local const Reactors* current_reactors = nullptr;
thread_local int current_core = -1;

void end_process_on_exception(const std::exception_ptr& error) {
  if (!error) return;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    check_failed(__FILE__, __LINE__, "no exception leaves a task", e.what());
  } catch (...) {
    check_failed(__FILE__, __LINE__, "no exception leaves a task", "");
  }
}

}  // namespace

struct Reactors::Core {
  struct Io : boost::asio::io_context {
    Io() : io_context(1) {}
    void drop_handlers() { shutdown(); }
  };
  explicit Core(QuickClients& quick) : pace(quick) {}
  Io io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work = boost::asio::make_work_guard(io);
  std::thread thread;
  SendPace pace;
};

Reactors::Reactors(int count, QuickClients& quick) {
  CHECK(count > 0);
  std::vector<boost::asio::io_context*> ios;
  for (int i = 0; i < count; ++i) {
    cores_.push_back(std::make_unique<Core>(quick));
    ios.push_back(&cores_.back()->io);
  }
  clock_ = std::make_unique<SystemClock>(*this, ios);
}

Reactors::~Reactors() {
  stop();
  // What nobody joined may hold things of several cores, so all of it goes before any core does.
  clock_->forget_all();
  for (auto& core : cores_) core->io.drop_handlers();
}

void Reactors::start() {
  for (int i = 0; i < count(); ++i) {
    auto* core = cores_[static_cast<std::size_t>(i)].get();
    CHECK(!core->thread.joinable());
    core->thread = std::thread([this, core, i] {
      current_reactors = this;
      current_core = i;
      core->io.run();
    });
  }
}

void Reactors::stop() {
  CHECK(!on_a_core(), "a core cannot join itself");
  for (auto& core : cores_) core->io.stop();
  for (auto& core : cores_)
    if (core->thread.joinable()) core->thread.join();
  stopped_ = true;
}

CoreId Reactors::current() const {
  CHECK(current_reactors == this, "called outside a core");
  return CoreId{current_core};
}

bool Reactors::on_a_core() const { return current_reactors == this; }

boost::asio::io_context& Reactors::io(CoreId core) { return cores_.at(static_cast<std::size_t>(core.value()))->io; }

SendPace& Reactors::pace(CoreId core) { return cores_.at(static_cast<std::size_t>(core.value()))->pace; }

Clock& Reactors::clock() { return *clock_; }

void Reactors::post(CoreId core, std::move_only_function<void()> work) { boost::asio::post(io(core), std::move(work)); }

void Reactors::spawn(CoreId core, Task<void> task) {
  boost::asio::co_spawn(io(core), std::move(task), end_process_on_exception);
}

}  // namespace forelog::env
