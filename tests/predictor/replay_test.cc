#include "predictor/replay/replay.h"

#include <random>

#include <gtest/gtest.h>

namespace forelog::predictor::replay {
namespace {

std::string line(double ms, int client, const std::string& object) {
  return std::to_string(ms) + "," + std::to_string(client) + "," + object + ",262144\n";
}
std::string address(std::uint64_t stream, std::uint64_t block) {
  return "p" + std::to_string(stream) + ":" + std::to_string(block);
}

// Three jobs that read the same 300 scattered blocks every minute, in the same order, with some reads of their own
// between.
Trace recurring_jobs(bool opaque = false) {
  std::string csv;
  std::mt19937_64 noise(7);
  auto name = [&](std::uint64_t stream, std::uint64_t block) {
    return opaque ? "k" + std::to_string(stream * 100'000 + block) : address(stream, block);
  };
  for (int day = 0; day < 8; ++day) {
    for (int job = 0; job < 3; ++job) {
      double t = day * 60'000.0 + job * 17'000.0;
      std::mt19937_64 fixed(static_cast<std::uint64_t>(100 + job));
      for (int i = 0; i < 300; ++i) {
        auto stream = static_cast<std::uint64_t>(10 * job) + fixed() % 6;
        csv += line(t, job + 1, name(stream, fixed() % 2000));
        t += 20 + static_cast<double>(noise() % 20);
        if (noise() % 20 == 0) csv += line(t, job + 1, name(50, noise() % 5000));
      }
    }
  }
  return *Trace::parse(csv);
}

// One reader of six partitions in turn.
Trace interleaved_scan() {
  std::string csv;
  std::mt19937_64 random(3);
  std::uint64_t position[6] = {};
  double t = 0;
  std::uint64_t current = 0;
  for (int i = 0; i < 6000; ++i) {
    csv += line(t, 1, address(current, position[current]++));
    t += 10 + static_cast<double>(random() % 20);
    if (random() % 5 < 2) current = (current + 1) % 6;
  }
  return *Trace::parse(csv);
}

Trace nothing_to_learn() {
  std::string csv;
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i)
    csv += line(i * 10.0, static_cast<int>(random() % 5), address(random() % 4, random() % 10'000));
  return *Trace::parse(csv);
}

struct Both {
  Report none, ours;
};
Both judge(const Trace& trace, ReplayOptions options = {}) {
  options.methods = {"ours"};
  auto reports = run(options, trace);
  EXPECT_TRUE(reports.has_value() && reports->size() == 2);
  return {(*reports)[0], (*reports)[1]};
}

TEST(Replay, AJobThatComesBackHardlyWaits) {
  auto [none, ours] = judge(recurring_jobs());
  EXPECT_GT(ours.stall_removed(none), 0.7);
  EXPECT_GT(ours.precision(), 0.9);
}

TEST(Replay, APredictorFarAwayStillHelps) {
  ReplayOptions options;
  options.loop_delay = 50ms;
  auto [none, ours] = judge(recurring_jobs(), options);
  EXPECT_GT(ours.stall_removed(none), 0.5);
}

TEST(Replay, ReadersInTurnAreReadAhead) {
  auto [none, ours] = judge(interleaved_scan());
  EXPECT_GT(ours.stall_removed(none), 0.9);
  EXPECT_LT(ours.extra(none), 0.05);
}

TEST(Replay, WhereNothingCanBeLearntNothingIsSpent) {
  auto [none, ours] = judge(nothing_to_learn());
  EXPECT_GT(ours.stall_removed(none), -0.005);
  EXPECT_LT(ours.extra(none), 0.02);
}

// A simulator leaks the future easily: through the order in which ids were given, above all.
void expect_same(const Report& a, const Report& b) {
  EXPECT_EQ(a.fetched, b.fetched);
  EXPECT_EQ(a.used, b.used);
  EXPECT_EQ(a.unused, b.unused);
  EXPECT_EQ(a.demand, b.demand);
  EXPECT_DOUBLE_EQ(a.stall_seconds, b.stall_seconds);
}

TEST(Replay, NumberingStreamsKeysAndClientsAnewChangesNothing) {
  for (const auto& trace : {recurring_jobs(false), recurring_jobs(true), interleaved_scan(), nothing_to_learn()}) {
    auto expected = judge(trace);
    for (std::uint64_t seed : {1, 2}) {
      auto renumbered = judge(trace.renumbered(seed));
      expect_same(renumbered.ours, expected.ours);
      expect_same(renumbered.none, expected.none);
    }
  }
}

TEST(Replay, ANeighbourOfAnOpaqueKeyMeansNothing) {
  std::string csv;
  for (int i = 0; i < 2000; ++i) csv += line(i * 20.0, 1, "k" + std::to_string(i));
  ReplayOptions options;
  options.methods = {"next-4", "read-ahead", "ours", "reach"};
  auto reports = run(options, *Trace::parse(csv));
  ASSERT_TRUE(reports.has_value());
  for (const auto& report : *reports) EXPECT_EQ(report.fetched, 0) << report.method;
}

TEST(Replay, InClosedModeAReaderThatWaitsReadsLater) {
  // Two blocks of the same reader, one of another between: open, the other comes second; closed, too, but the first
  // reader's second read waits for its first answer, so that nothing overlaps.
  auto trace = *Trace::parse("0,1,p1:1,1\n10,1,p1:1,1\n20,1,p1:2,1\n1000,2,p9:9,1\n1010,2,p9:9,1\n1020,2,p9:8,1\n");
  ReplayOptions options;
  options.methods = {};
  auto open = run(options, trace);
  options.mode = Mode::closed;
  auto closed = run(options, trace);
  // The second read of p9:9 comes 10 ms after the first: open, it waits the other 40; closed, it is a hit.
  EXPECT_NEAR((*open)[0].stall_seconds, 0.050 + 0.040 + 0.050, 1e-6);
  EXPECT_NEAR((*closed)[0].stall_seconds, 0.050 + 0.050, 1e-6);
}

TEST(Replay, RefusesTracesThatAreNone) {
  for (const auto* text :
       {"x,1,p1:1,1\n", "1,1,q1:1,1\n", "1,1,p1,1\n", "1,1,p1:-1,1\n", "1\n", "-5,1,p1:1,1\n", "1,1,k,1\n"}) {
    auto trace = Trace::parse(text);
    ASSERT_FALSE(trace.has_value()) << text;
    EXPECT_EQ(trace.error().code, ErrorCode::kMalformed);
  }
  EXPECT_TRUE(Trace::parse("timestamp_ms,client,object_or_block,size\r\n1,1,p1:1,1\r\n").has_value());
  ReplayOptions options;
  options.methods = {"magic"};
  EXPECT_FALSE(run(options, recurring_jobs()).has_value());
  EXPECT_EQ(Trace::read("/nonexistent").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace forelog::predictor::replay
