// system_clock.h: the machine's clocks, with one kernel timer a core for all who sleep there.
#pragma once

#include "broker/env/clock.h"

#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace forelog::env {

class Reactors;

class SystemClock final : public Clock {
 public:
  SystemClock(const Reactors& reactors, const std::vector<boost::asio::io_context*>& ios);
  ~SystemClock() override;

  Instant now() const override;
  WallTime wall() const override;
  TimerId wake_at(Instant at, WaiterPtr waiter) override;
  void cancel(TimerId timer) override;

  // Drops all who sleep, once no core runs any more.
  void forget_all();

 private:
  struct CoreTimer;
  CoreTimer& here();

  const Reactors& reactors_;
  std::vector<std::unique_ptr<CoreTimer>> timers_;
};

}  // namespace forelog::env
