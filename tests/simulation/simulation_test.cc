// The whole broker in simulated worlds: a few seeds with every build, and any number of them by `make simulate`.
#include "tests/simulation/run.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

std::string describe(std::uint64_t seed, const RunReport& report) {
  std::string out = "seed " + std::to_string(seed) + " (make simulate SEED=" + std::to_string(seed) + "):\n";
  for (const auto& violation : report.violations) out += "  " + violation + "\n";
  out += text_of(draw_scenario(seed));
  out += "the newest of its log (LOG=1 shows all):\n";
  for (const auto& line : report.last_log) out += "  " + line + "\n";
  return out;
}

std::string at_fault(std::uint64_t seed, Oracle oracle, const std::string& what) {
  return "seed " + std::to_string(seed) + " (make simulate SEED=" + std::to_string(seed) + "):\n  " +
         std::string(name_of(oracle)) + ": " + what + "\n";
}

// Twice, for the same trace; and without prefetching, for the same records.
RunReport check(std::uint64_t seed) {
  auto scenario = draw_scenario(seed);
  auto report = run_scenario(scenario);
  EXPECT_TRUE(report.violations.empty()) << describe(seed, report);
  if (!report.violations.empty()) return report;
  // The hunt for a planted bug has its own way to know that a seed fails for its sake.
  bool hunting = std::getenv("FIRST_FAILURE") != nullptr;
  auto again = hunting ? report : run_scenario(scenario);
  EXPECT_EQ(report.trace, again.trace) << at_fault(seed, Oracle::trace, "it does not run twice the same way");
  EXPECT_EQ(report.events, again.events);
  report.checked(Oracle::trace);
  auto without = run_scenario(scenario.without_prefetching());
  EXPECT_TRUE(without.violations.empty()) << "without prefetching, " << describe(seed, without);
  for (const auto& plan : scenario.partitions) {
    if (plan.start_moves()) continue;  // how much of it is left depends on when one looks
    auto name = plan.topic.value() + "-" + std::to_string(plan.partition.value());
    EXPECT_EQ(report.content[name], without.content[name])
        << at_fault(seed, Oracle::hints, "prefetching changed what is read of " + name);
    report.checked(Oracle::hints);
  }
  return report;
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// One line a seed, for simulate.py to add up.
void print(std::uint64_t seed, const Scenario& scenario, const RunReport& report) {
  std::string line = "seed=" + std::to_string(seed);
  auto add = [&line](std::string_view name, std::uint64_t value) {
    line += " " + std::string(name) + "=" + std::to_string(value);
  };
  add("events", report.events);
  add("virtual_ms", static_cast<std::uint64_t>(to_ms(report.virtual_time)));
  add("partitions", scenario.partitions.size());
  add("produced", report.batches_acknowledged);
  add("read", report.batches_read);
  add("commits", report.commits);
  add("rebalances", report.rebalances);
  add("retries", report.retries);
  add("plans", report.plans_offered);
  add("accepted", report.plans_accepted);
  add("objects", report.objects);
  add("incremental_fetches", report.incremental_fetches);
  add("deletions", report.records_deleted);
  add("topics_recreated", report.topics_recreated);
  add("forged_commits", report.members_fenced);
  add("damaged_reads", report.damaged_reads);
  add("compactions", report.compactions);
  add("merges", report.merges);
  line += " source=" + std::string(name_of(scenario.plans)) + " shape=" + std::string(name_of(scenario.shape));
  auto counts = [&line](const CheckCounts& checks) {
    for (std::size_t i = 0; i < kOracleCount; ++i) line += (i == 0 ? "" : ",") + std::to_string(checks[i]);
  };
  line += " checks=";
  counts(report.checks);
  for (std::size_t fault = 0; fault < kFaultCount; ++fault) {
    if (report.met[fault] == 0) continue;
    line += " fault:" + std::string(name_of(static_cast<Fault>(fault))) + "=" + std::to_string(report.met[fault]) + ":";
    counts(report.checks_after[fault]);
  }
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// What `make simulate` calls: SEED is the first seed, SEEDS how many.
TEST(Search, FindsNothing) {
  if (std::getenv("SEED") == nullptr) GTEST_SKIP() << "make simulate SEED=42, or make simulate SEEDS=1000";
  auto first = number_from("SEED", 1);
  auto count = number_from("SEEDS", 1);
  for (auto seed = first; seed < first + count; ++seed) {
    std::printf("begin=%llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);  // a CHECK ends the process
    auto report = check(seed);
    print(seed, draw_scenario(seed), report);
    if (HasFailure() && std::getenv("FIRST_FAILURE") != nullptr) return;
  }
}

// The names of oracles, for the table that simulate.py makes.
TEST(Search, NamesItsOracles) {
  std::printf("oracles=");
  for (std::size_t i = 0; i < kOracleCount; ++i)
    std::printf("%s%s", i == 0 ? "" : ",", std::string(kOracleNames[i]).c_str());
  std::printf(" faults=");
  for (int i = 0; i < kFaultCount; ++i)
    std::printf("%s%s", i == 0 ? "" : ",", std::string(name_of(static_cast<Fault>(i))).c_str());
  std::printf("\n");
}

class Simulation : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Simulation, KeepsEveryPromise) { check(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, testing::Values(1, 2, 5, 6, 7, 13, 14, 24, 159, 184, 476));

}  // namespace
}  // namespace forelog::simulation
