#include "predictor/gate.h"

#include "broker/base/limits.h"
#include "predictor/budget.h"
#include "predictor/generators/strided_runs.h"
#include "predictor/model.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace forelog::predictor {
namespace {

Candidate candidate(std::int64_t block, JobId job = 1, std::uint16_t situation = 3) {
  return {.situation = situation, .job = job, .place = {1, block}};
}
ReadEvent read(std::int64_t block, Instant at, Answer answer = Answer::miss) {
  return {.at = at, .place = {1, block}, .answer = answer};
}

class GateTest : public testing::Test {
 protected:
  // Proposes `count` places, of which one in `one_in` is read a second later; then lets the window pass.
  void learn(int count, int one_in, JobId job = 1, Answer answer = Answer::miss) {
    for (int i = 0; i < count; ++i) {
      gate.judge(candidate(next_, job), now);
      if (i % one_in == 0) gate.on_read(read(next_, now + 1s, answer));
      ++next_;
      now += 10ms;
    }
    now += 30s;
    gate.on_read(read(-1, now));
  }
  Gate gate{{.window = 20s, .places_max = 4096}};
  Instant now{100s};
  std::int64_t next_ = 0;
};

TEST_F(GateTest, LearnsHowOftenASituationComesTrueWithoutFetchingAnything) {
  learn(400, 4);
  EXPECT_NEAR(gate.expected(GeneratorId::strided_runs, 3), 0.25, 0.03);
  EXPECT_NEAR(gate.estimate(candidate(99999)), 0.25, 0.05);
}

TEST_F(GateTest, AnUnseenSituationIsWhatTheGeneratorThinksOfIt) {
  StridedRuns runs({});
  gate.introduce(runs);
  EXPECT_NEAR(gate.estimate(candidate(1, 1, 56)), runs.prior(56), 1e-6);
}

TEST_F(GateTest, ReadsThatTheCacheHadAnywayTeachNothing) {
  auto before = gate.expected(GeneratorId::strided_runs, 3);
  learn(200, 1, 1, Answer::hit);
  EXPECT_EQ(gate.expected(GeneratorId::strided_runs, 3), before);
}

TEST_F(GateTest, AClientWhoseReadsRefuteItLowersItsOwnChancesFirst) {
  for (int round = 0; round < 10; ++round) learn(90, 1, 1), learn(10, 1000, 2);
  EXPECT_GT(gate.estimate(candidate(1, 1)), 0.85);
  EXPECT_LT(gate.estimate(candidate(1, 2)), 0.35);
}

TEST_F(GateTest, SurvivesARestartAndRefusesNonsense) {
  learn(400, 4);
  ByteWriter out;
  gate.save(out);
  Gate copy({.places_max = 4096});
  ByteReader in(out.view());
  EXPECT_TRUE(copy.load(in));
  EXPECT_NEAR(copy.estimate(candidate(1)), gate.estimate(candidate(1)), 1e-6);
  ByteReader torn(out.view().first(out.size() / 2));
  EXPECT_FALSE(Gate({.places_max = 64}).load(torn));
}

// --- budget ----------------------------------------------------------------------------------------------------------

constexpr auto kRuns = GeneratorId::strided_runs;

TEST(Budget, ImprobableBetsAreNotTaken) {
  Budget budget({});
  EXPECT_TRUE(budget.take(kRuns, 0.9, kBlockSize, Instant(1s)));
  EXPECT_FALSE(budget.take(kRuns, 0.2, kBlockSize, Instant(1s)));
}

TEST(Budget, RequestsASecondAreBounded) {
  Budget budget({.requests_per_second = 10});
  int taken = 0;
  for (int i = 0; i < 100; ++i) taken += budget.take(kRuns, 0.99, kBlockSize, Instant(1s)) ? 1 : 0;
  EXPECT_EQ(taken, 10);
  for (int i = 0; i < 100; ++i) taken += budget.take(kRuns, 0.99, kBlockSize, Instant(1500ms)) ? 1 : 0;
  EXPECT_EQ(taken, 15);
}

// Half of all bets are lost, far more than the share allows: what is spent on them must end near the share.
TEST(Budget, WasteEndsNearItsShareWhateverIsProposed) {
  Budget budget({.waste_share = 0.10});
  double fetched = 0, lost = 0;
  Instant now(1s);
  for (int i = 0; i < 100'000; ++i, now += 5ms) {
    budget.on_demand(kBlockSize, now);
    bool measured = i > 50'000;
    if (measured) fetched += 1;
    if (!budget.take(kRuns, 0.5, kBlockSize, now)) continue;
    bool used = i % 2 == 0;
    budget.on_outcome(kRuns, used ? kBlockSize : 0, used ? 0 : kBlockSize, now);
    if (measured) fetched += 1, lost += used ? 0 : 1;
  }
  EXPECT_LE(lost / fetched, 0.12);
  EXPECT_GE(lost / fetched, 0.01);
}

TEST(Budget, LossesThatExceedWhatWasExpectedCountForMore) {
  Budget budget({.waste_share = 0.10});
  Instant now(1s);
  int taken = 0;
  for (int i = 0; i < 20'000; ++i, now += 5ms) {
    budget.on_demand(kBlockSize, now);
    // Said to be nearly sure, and always lost.
    if (!budget.take(kRuns, 0.85, kBlockSize, now)) continue;
    ++taken;
    budget.on_outcome(kRuns, 0, kBlockSize, now);
  }
  EXPECT_LT(taken, 20'000 / 2);
}

// --- the model as a whole --------------------------------------------------------------------------------------------

TEST(Model, TellsTheSameThingOnce) {
  Model model({.tracked_blocks = 1024});
  std::vector<Accepted> out;
  for (int i = 0; i < 20; ++i) {
    model.observe({.at = Instant(100s + i * 20ms), .reader = 1, .job = 1, .place = {1, i}}, out);
  }
  std::vector<std::int64_t> blocks;
  for (const auto& a : out)
    if (!a.candidate.trigger) blocks.push_back(a.candidate.place.block);
  EXPECT_FALSE(blocks.empty());
  std::ranges::sort(blocks);
  EXPECT_EQ(std::ranges::adjacent_find(blocks), blocks.end());
}

TEST(Model, ResumesFromItsSnapshot) {
  ModelSettings settings{.tracked_blocks = 1024};
  Model model(settings);
  std::vector<Accepted> ignored;
  for (int day = 0; day < 3; ++day) {
    for (int i = 0; i < 10; ++i) {
      auto at = Instant(day * 24h + 100s + i * 20ms);
      model.observe({.at = at, .reader = 1, .job = 1, .place = {static_cast<StreamId>(i), i * 1000}}, ignored);
    }
  }
  ByteWriter out;
  model.save(out);
  Model copy(settings);
  ByteReader in(out.view());
  ASSERT_TRUE(copy.load(in));
  std::vector<Accepted> accepted;
  copy.observe({.at = Instant(72h + 100s), .reader = 2, .job = 1, .place = {0, 0}}, accepted);
  EXPECT_TRUE(std::ranges::any_of(accepted, [](const Accepted& a) { return a.candidate.place == Place{1, 1000}; }));

  ByteReader torn(out.view().first(40));
  EXPECT_FALSE(Model(settings).load(torn));
}

}  // namespace
}  // namespace forelog::predictor
