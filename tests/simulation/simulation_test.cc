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

// Twice, for the same trace; and without prefetching, for the same records.
RunReport check(std::uint64_t seed) {
  auto scenario = draw_scenario(seed);
  auto report = run_scenario(scenario);
  EXPECT_TRUE(report.violations.empty()) << describe(seed, report);
  if (!report.violations.empty()) return report;
  auto again = run_scenario(scenario);
  EXPECT_EQ(report.trace, again.trace) << "seed " << seed << " does not run twice the same way";
  EXPECT_EQ(report.events, again.events);
  auto without = run_scenario(scenario.without_prefetching());
  EXPECT_TRUE(without.violations.empty()) << "without prefetching, " << describe(seed, without);
  for (const auto& plan : scenario.partitions) {
    if (plan.has_retention) continue;  // how much of it is left depends on when one looks
    auto name = plan.topic.value() + "-" + std::to_string(plan.partition.value());
    EXPECT_EQ(report.content[name], without.content[name])
        << "hints changed what seed " << seed << " reads of " << name;
  }
  return report;
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// One line a seed, for simulate.py to add up. Written before the run too: a CHECK ends the process.
void print(std::uint64_t seed, const Scenario& scenario, const RunReport& report) {
  std::printf(
      "seed=%llu events=%llu virtual_ms=%lld produced=%llu read=%llu commits=%llu rebalances=%llu retries=%llu "
      "plans=%llu accepted=%llu objects=%llu source=%s",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(report.events),
      static_cast<long long>(to_ms(report.virtual_time)), static_cast<unsigned long long>(report.batches_acknowledged),
      static_cast<unsigned long long>(report.batches_read), static_cast<unsigned long long>(report.commits),
      static_cast<unsigned long long>(report.rebalances), static_cast<unsigned long long>(report.retries),
      static_cast<unsigned long long>(report.plans_offered), static_cast<unsigned long long>(report.plans_accepted),
      static_cast<unsigned long long>(report.objects), std::string(name_of(scenario.plans)).c_str());
  for (int i = 0; i < kFaultCount; ++i) {
    auto met = report.met[static_cast<std::size_t>(i)];
    if (met > 0) std::printf(" %s=%d", std::string(name_of(static_cast<Fault>(i))).c_str(), met);
  }
  std::printf("\n");
  std::fflush(stdout);
}

// What `make simulate` calls: SEED is the first seed, SEEDS how many.
TEST(Search, FindsNothing) {
  if (std::getenv("SEED") == nullptr) GTEST_SKIP() << "make simulate SEED=42, or make simulate SEEDS=1000";
  auto first = number_from("SEED", 1);
  auto count = number_from("SEEDS", 1);
  for (auto seed = first; seed < first + count; ++seed) {
    std::printf("begin=%llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    auto report = check(seed);
    print(seed, draw_scenario(seed), report);
  }
}

class Simulation : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Simulation, KeepsEveryPromise) { check(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Seeds, Simulation, testing::Values(1, 2, 5, 6, 7, 13, 14, 24));

}  // namespace
}  // namespace forelog::simulation
