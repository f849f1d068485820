// run.h: one seed, from an empty world to a verdict.
#pragma once

#include "tests/simulation/oracle.h"
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
  // Checks made, by oracle: in all, and of them those after each fault had been met.
  CheckCounts checks{};
  std::array<CheckCounts, kFaultCount> checks_after{};
  // One check more, made of the run as a whole, and so after every fault that it met.
  void checked(Oracle oracle) {
    auto index = static_cast<std::size_t>(oracle);
    ++checks[index];
    for (std::size_t fault = 0; fault < kFaultCount; ++fault) checks_after[fault][index] += met[fault] > 0 ? 1 : 0;
  }
  std::uint64_t batches_acknowledged = 0, batches_read = 0, commits = 0, rebalances = 0, retries = 0;
  std::uint64_t plans_offered = 0, plans_accepted = 0, objects = 0;
  std::uint64_t incremental_fetches = 0, records_deleted = 0, topics_recreated = 0, members_fenced = 0,
                damaged_reads = 0, compactions = 0, merges = 0;
};

RunReport run_scenario(const Scenario& scenario);

}  // namespace forelog::simulation
