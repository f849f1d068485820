// run.h: one seed, from an empty world to a verdict.
#pragma once

#include "tests/simulation/scenario.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace forelog::simulation {

struct RunReport {
  std::vector<std::string> violations;           // empty: all is as it must be
  std::vector<std::string> last_log;             // the newest lines of the broker, for whoever looks into a violation
  std::map<std::string, std::uint64_t> content;  // of each partition at the end
  std::uint64_t trace = 0;
  std::uint64_t events = 0;
  Duration virtual_time{};
  std::array<int, kFaultCount> met{};
  std::uint64_t batches_acknowledged = 0, batches_read = 0, commits = 0, rebalances = 0, retries = 0;
  std::uint64_t plans_offered = 0, plans_accepted = 0, objects = 0;
};

RunReport run_scenario(const Scenario& scenario);

}  // namespace forelog::simulation
