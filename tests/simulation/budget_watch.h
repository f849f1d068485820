// budget_watch.h: looks at what a running broker counts of itself: bounds must hold at every look, and when all is
// quiet nothing may still be held.
#pragma once

#include "broker/all_settings.h"
#include "broker/base/metrics.h"
#include "tests/simulation/trial.h"

#include <vector>

namespace forelog::simulation {

class BudgetWatch {
 public:
  BudgetWatch(Trial& trial, const AllSettings& settings) : trial_(trial), settings_(settings) {}

  void look(const std::vector<const MetricsRegistry*>& cores);
  // No client is there any more, and none has been for a while.
  void look_when_quiet(const std::vector<const MetricsRegistry*>& cores);

 private:
  void at_most(const MetricsSnapshot& core, const char* metric, Bytes limit);
  void nothing_left(const MetricsSnapshot& core, const char* metric);

  Trial& trial_;
  const AllSettings& settings_;
};

}  // namespace forelog::simulation
