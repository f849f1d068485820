// reactors.h: one thread and one io_context a core.
#pragma once

#include "broker/env/cores.h"
#include "broker/env/real/send_pace.h"

#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace forelog::env {

class SystemClock;

class Reactors final : public Cores {
 public:
  // `quick` hears of clients that ask often for little, of every core.
  Reactors(int count, QuickClients& quick);
  ~Reactors() override;  // stops

  // Starts the threads. What was posted or spawned before runs now.
  void start();
  // Ends the threads after what they do right now, and joins them. From outside the cores; the second call does
  // nothing. Whoever wants tasks to end in good order has joined them before.
  void stop();
  bool stopped() const { return stopped_; }

  int count() const override { return static_cast<int>(cores_.size()); }
  CoreId current() const override;
  bool on_a_core() const override;
  void post(CoreId core, std::move_only_function<void()> work) override;
  void spawn(CoreId core, Task<void> task) override;
  Clock& clock() override;

  boost::asio::io_context& io(CoreId core);
  SendPace& pace(CoreId core);  // belongs to that core
  boost::asio::io_context& here() { return io(current()); }

 private:
  struct Core;
  std::unique_ptr<SystemClock> clock_;  // outlives tasks that nobody joined, which go with the cores
  std::vector<std::unique_ptr<Core>> cores_;
  bool stopped_ = false;  // no thread of ours runs any more
};

}  // namespace forelog::env
