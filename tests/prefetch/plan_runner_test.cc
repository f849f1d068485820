#include "broker/prefetch/plan_runner.h"

#include "broker/prefetch/plan_shape.h"

#include <cmath>
#include <ctime>

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

constexpr Instant at(Duration t) { return Instant(t); }
constexpr WallTime wall_at(Duration t) { return from_ms(1'000'000'000'000 + to_ms(t)); }
constexpr Instant kNow = at(100s);
constexpr WallTime kWall = wall_at(100s);

PartitionKey partition(int n = 0) { return {TopicId{{1}}, PartitionId{n}}; }
OffsetRange offsets(std::int64_t from, std::int64_t to) { return {Offset{from}, Offset{to}}; }
Hint hint(std::int64_t from, std::int64_t to, int of = 0) { return {partition(of), offsets(from, to), 0.8, 1}; }

Plan plan(std::uint64_t id, PlanBody body, Score score = 0.8) {
  Plan out;
  out.id = PlanId{id};
  out.body = std::move(body);
  out.score = score;
  out.byte_budget = 100_MiB;
  out.reason = Reason::stream;
  out.expires = kNow + 60s;
  out.received = kNow;
  return out;
}
ChainPlan chain(OffsetRange trigger, std::vector<ChainStep> steps, std::int32_t fires_max = 1) {
  return {{}, partition(), trigger, std::move(steps), fires_max};
}

// A reader of partition 0 takes offsets of 1 KiB each.
ReaderStep read(std::int64_t from, std::int64_t to, std::uint64_t reader = 1) {
  ReaderStep out;
  out.reader = ReaderId{reader};
  out.principal = "User:ann";
  out.client_stem = "billing";
  out.partition = partition();
  out.touched = offsets(from, to);
  out.bytes = (to - from) * 1_KiB;
  return out;
}

OffsetRange range_of(const LoadRequest& load) { return std::get<OffsetRange>(load.range); }
std::vector<OffsetRange> ranges(const std::vector<LoadRequest>& loads) {
  std::vector<OffsetRange> out;
  for (const auto& load : loads) out.push_back(range_of(load));
  return out;
}

class PlanRunnerTest : public testing::Test {
 protected:
  Refusal offer(Plan p) { return runner.offer(std::move(p), kNow, kWall).refusal; }
  PlanRunner runner{{}};
};

// --- warm ------------------------------------------------------------------------------------------------------------

TEST_F(PlanRunnerTest, WarmRangesComeDueShortlyBeforeTheyAreNeeded) {
  EXPECT_EQ(offer(plan(1, WarmPlan{{hint(0, 10), hint(50, 60)}, kNow + 20s})), Refusal::none);
  EXPECT_TRUE(runner.tick(kNow + 14s, kWall).empty());
  auto loads = runner.tick(kNow + 15s, kWall);
  EXPECT_EQ(ranges(loads), (std::vector{offsets(0, 10), offsets(50, 60)}));
  EXPECT_EQ(loads[0].needed_by, kNow + 20s);
  EXPECT_EQ(loads[0].cause.plan, PlanId{1});
  EXPECT_EQ(loads[0].cause.reason, Reason::stream);
  EXPECT_TRUE(runner.tick(kNow + 16s, kWall).empty()) << "once";
}

TEST_F(PlanRunnerTest, WarmRangesNeededSoonAreDueAtOnce) {
  offer(plan(1, WarmPlan{{hint(0, 10)}, kNow + 300ms}));
  EXPECT_EQ(runner.next_due(kNow, kWall), kNow);
  EXPECT_EQ(runner.tick(kNow, kWall).size(), 1U);
}

// --- follow ----------------------------------------------------------------------------------------------------------

TEST_F(PlanRunnerTest, FollowKeepsItsDistanceAndStopsAtTheKnownEnd) {
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, Offset{20'000}}));
  EXPECT_EQ(ranges(runner.on_reader(read(0, 1024), kNow)), std::vector{offsets(1024, 1024 + 8192)}) << "8 MiB of 1 KiB";
  EXPECT_TRUE(runner.on_reader(read(1024, 2048), kNow).empty()) << "one MiB is not worth a request";
  EXPECT_EQ(ranges(runner.on_reader(read(2048, 6144), kNow)), std::vector{offsets(9216, 6144 + 8192)});
  EXPECT_EQ(ranges(runner.on_reader(read(6144, 15'000), kNow)), std::vector{offsets(15'000, 20'000)});
  EXPECT_TRUE(runner.on_reader(read(15'000, 21'000), kNow).empty());
}

TEST_F(PlanRunnerTest, AFollowWaitsUntilItsReaderComesToIt) {
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, Offset{20'000}, Offset{10'000}}));
  EXPECT_TRUE(runner.on_reader(read(0, 1024), kNow).empty());
  EXPECT_EQ(ranges(runner.on_reader(read(10'000, 11'024), kNow)), std::vector{offsets(11'024, 11'024 + 8192)});
}

TEST_F(PlanRunnerTest, AReadThatFoundNothingDoesNotTellHowLargeRecordsAre) {
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, Offset{20'000}}));
  auto missed = read(1024, 1025);
  missed.bytes = 0;
  EXPECT_TRUE(runner.on_reader(missed, kNow).empty()) << "how many offsets are 8 MiB?";
  runner.on_reader(read(0, 1024), kNow);
  runner.on_reader_closed(ReaderId{1});
  EXPECT_EQ(ranges(runner.on_reader(missed, kNow)), std::vector{offsets(1025, 1025 + 8192)}) << "1 KiB, as before";
}

TEST_F(PlanRunnerTest, ASureFollowTellsWhereItsReaderStops) {
  EXPECT_EQ(runner.end_of(read(0, 10)), std::nullopt);
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, Offset{500}}, 0.3));
  EXPECT_EQ(runner.end_of(read(0, 10)), std::nullopt) << "a guess";
  offer(plan(2, FollowPlan{{}, partition(), 8_MiB, Offset{500}, Offset{100}}));
  EXPECT_EQ(runner.end_of(read(0, 10)), std::nullopt) << "not there yet";
  EXPECT_EQ(runner.end_of(read(100, 110)), Offset{500});
  EXPECT_EQ(runner.end_of(read(490, 510)), Offset{530}) << "past it, one more read of the same size";
  EXPECT_EQ(runner.end_of(read(510, 530)), Offset{550});
  EXPECT_EQ(runner.end_of(read(600, 610)), std::nullopt) << "it has gone on";
}

TEST_F(PlanRunnerTest, FollowMindsEachReaderByItself) {
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, std::nullopt}));
  EXPECT_EQ(runner.on_reader(read(0, 1024, 1), kNow).size(), 1U);
  EXPECT_EQ(runner.on_reader(read(0, 1024, 2), kNow).size(), 1U);
  EXPECT_TRUE(runner.on_reader(read(1024, 1100, 2), kNow).empty());
  runner.on_reader_closed(ReaderId{2});
  EXPECT_EQ(runner.on_reader(read(1100, 1200, 2), kNow).size(), 1U) << "forgotten with the reader";
}

TEST_F(PlanRunnerTest, OnlyReadersOfTheClassAreFollowed) {
  ReaderClass who;
  who.principal = "User:ann";
  who.group = GroupId{"billing"};
  offer(plan(1, FollowPlan{who, partition(), 8_MiB, std::nullopt}));
  EXPECT_TRUE(runner.on_reader(read(0, 100), kNow).empty()) << "no group known";
  auto step = read(0, 100);
  std::vector<GroupCandidate> groups{{GroupId{"billing"}, 0.3, Evidence::client_id}};
  step.groups = &groups;
  EXPECT_TRUE(runner.on_reader(step, kNow).empty()) << "too unsure";
  groups[0].confidence = 0.9;
  step.principal = "User:bob";
  EXPECT_TRUE(runner.on_reader(step, kNow).empty()) << "somebody else";
  step.principal = "User:ann";
  EXPECT_EQ(runner.on_reader(step, kNow).size(), 1U);
}

// --- chain -----------------------------------------------------------------------------------------------------------

TEST_F(PlanRunnerTest, AChainFiresWhenItsTriggerIsTouched) {
  offer(plan(1, chain(offsets(100, 200), {{hint(700, 710), 10ms}, {hint(300, 310, 5), 80ms}})));
  EXPECT_TRUE(runner.on_reader(read(0, 100), kNow).empty());
  EXPECT_TRUE(runner.on_reader(read(200, 300), kNow).empty());
  auto loads = runner.on_reader(read(199, 300, 2), kNow);
  EXPECT_EQ(ranges(loads), (std::vector{offsets(700, 710), offsets(300, 310)}));
  EXPECT_EQ(loads[1].partition, partition(5));
  EXPECT_EQ(loads[1].needed_by, kNow + 80ms);
}

TEST_F(PlanRunnerTest, AChainFiresOnceForAReaderAndNoMoreOftenThanItMay) {
  offer(plan(1, chain(offsets(100, 200), {{hint(700, 710), 0ms}}, 2)));
  EXPECT_EQ(runner.on_reader(read(100, 110, 1), kNow).size(), 1U);
  EXPECT_TRUE(runner.on_reader(read(110, 120, 1), kNow).empty());
  EXPECT_EQ(runner.on_reader(read(100, 110, 2), kNow).size(), 1U);
  EXPECT_TRUE(runner.on_reader(read(100, 110, 3), kNow).empty());
}

TEST_F(PlanRunnerTest, StepsFarAwayWait) {
  offer(plan(1, chain(offsets(100, 200), {{hint(700, 710), 30s}})));
  EXPECT_TRUE(runner.on_reader(read(100, 110), kNow).empty());
  EXPECT_EQ(runner.next_due(kNow, kWall), kNow + 25s);
  auto loads = runner.tick(kNow + 25s, kWall);
  ASSERT_EQ(loads.size(), 1U);
  EXPECT_EQ(loads[0].needed_by, kNow + 30s);
}

TEST_F(PlanRunnerTest, TheRightOneOfThousandsOfChainsFires) {
  PlanRunner many({10'000, 24h, 4_MiB});
  for (std::uint64_t i = 0; i < 5000; ++i) {
    auto from = static_cast<std::int64_t>(i) * 100;
    many.offer(plan(i + 1, chain(offsets(from, from + 100), {{hint(from + 1'000'000, from + 1'000'001), 0ms}})), kNow,
               kWall);
  }
  EXPECT_EQ(ranges(many.on_reader(read(123'456, 123'460), kNow)), std::vector{offsets(1'123'400, 1'123'401)});
}

// --- schedule --------------------------------------------------------------------------------------------------------

TEST_F(PlanRunnerTest, HeadsOfASessionAreWarmedBeforeItAndKept) {
  EXPECT_EQ(offer(plan(1, SchedulePlan{{hint(0, 10)}, wall_at(1000s), 30s, wall_at(1300s)})), Refusal::none);
  EXPECT_TRUE(runner.tick(kNow + 860s, wall_at(960s)).empty());
  auto loads = runner.tick(kNow + 866s, wall_at(966s));
  ASSERT_EQ(loads.size(), 1U);
  EXPECT_EQ(loads[0].keep_until, kNow + 866s + 334s);
  EXPECT_EQ(loads[0].needed_by, kNow + 866s + 4s) << "the earliest it may come";
  EXPECT_TRUE(runner.tick(kNow + 867s, wall_at(967s)).empty()) << "once";
  runner.tick(kNow + 1300s, wall_at(1400s));
  EXPECT_EQ(runner.plans(), 0U);
}

TEST_F(PlanRunnerTest, AScheduleInThePastIsRefused) {
  EXPECT_EQ(offer(plan(1, SchedulePlan{{hint(0, 10)}, wall_at(50s), 0s, wall_at(90s)})), Refusal::expired);
}

// --- bounds ----------------------------------------------------------------------------------------------------------

TEST_F(PlanRunnerTest, PlansExpire) {
  offer(plan(1, chain(offsets(100, 200), {{hint(700, 710), 0ms}})));
  EXPECT_TRUE(runner.on_reader(read(100, 110), kNow + 60s).empty());
  EXPECT_EQ(runner.plans(), 0U);
}

TEST_F(PlanRunnerTest, NoPlanLivesLongerThanTheSettingSays) {
  PlanRunner short_lived({10, 5s, 4_MiB});
  short_lived.offer(plan(1, chain(offsets(100, 200), {{hint(700, 710), 0ms}})), kNow, kWall);
  EXPECT_TRUE(short_lived.on_reader(read(100, 110), kNow + 6s).empty());
  short_lived.offer(plan(2, SchedulePlan{{hint(0, 10)}, wall_at(104s), 0s, wall_at(3600s)}), kNow, kWall);
  EXPECT_EQ(short_lived.tick(kNow + 1s, wall_at(101s)).size(), 1U);
  short_lived.tick(kNow + 6s, wall_at(106s));
  EXPECT_EQ(short_lived.plans(), 0U) << "its heads are loaded by then, and kept";
}

TEST_F(PlanRunnerTest, APlanIsTakenOnce) {
  EXPECT_EQ(offer(plan(1, WarmPlan{{hint(0, 10)}, kNow})), Refusal::none);
  EXPECT_EQ(offer(plan(1, WarmPlan{{hint(0, 10)}, kNow})), Refusal::duplicate);
}

TEST_F(PlanRunnerTest, AFullTableLetsTheLowestScoreGo) {
  PlanRunner two({2, 24h, 4_MiB});
  auto offer_to_two = [&](std::uint64_t id, Score score) {
    return two.offer(plan(id, chain(offsets(100, 200), {{hint(700, 710), 0ms}}), score), kNow, kWall).refusal;
  };
  EXPECT_EQ(offer_to_two(1, 0.5), Refusal::none);
  EXPECT_EQ(offer_to_two(2, 0.3), Refusal::none);
  EXPECT_EQ(offer_to_two(3, 0.3), Refusal::overloaded);
  EXPECT_EQ(offer_to_two(4, 0.4), Refusal::none);
  EXPECT_EQ(two.remaining(PlanId{2}), 0);
  EXPECT_EQ(two.on_reader(read(100, 110), kNow).size(), 2U);
}

TEST_F(PlanRunnerTest, RangesOfAllPlansTogetherAreBounded) {
  auto large = [](std::uint64_t id, Score score) {
    return plan(id, WarmPlan{std::vector<Hint>(kHintsMax, hint(0, 10)), kNow + 50s}, score);
  };
  std::size_t accepted = 0;
  for (std::uint64_t id = 1; id <= 1000; ++id) accepted += offer(large(id, 0.5)) == Refusal::none ? 1 : 0;
  EXPECT_EQ(accepted, 128U);
  EXPECT_EQ(runner.plans(), 128U);
  EXPECT_EQ(offer(large(2000, 0.4)), Refusal::overloaded);
  EXPECT_EQ(offer(large(2001, 0.9)), Refusal::none) << "the lowest score goes";
  EXPECT_EQ(runner.plans(), 128U);
  runner.tick(kNow + 60s, kWall);
  EXPECT_EQ(runner.plans(), 0U);
  EXPECT_EQ(runner.offer(plan(3000, WarmPlan{{hint(0, 10)}, kNow + 60s}), kNow - 1s, kWall).refusal, Refusal::none);
}

TEST_F(PlanRunnerTest, APlanEndsWhenItsBudgetIsSpent) {
  offer(plan(1, FollowPlan{{}, partition(), 8_MiB, std::nullopt}));
  EXPECT_EQ(runner.on_reader(read(0, 1024), kNow)[0].bytes_max, 100_MiB);
  runner.charge(PlanId{1}, 60_MiB);
  EXPECT_EQ(runner.on_reader(read(1024, 8000), kNow)[0].bytes_max, 40_MiB);
  runner.charge(PlanId{1}, 40_MiB);
  EXPECT_EQ(runner.plans(), 0U);
  EXPECT_TRUE(runner.on_reader(read(8000, 20'000), kNow).empty());
}

TEST_F(PlanRunnerTest, MalformedPlansAreRefusedByTheNameOfTheField) {
  auto refused = [&](auto&& change) {
    auto p = plan(1, WarmPlan{{hint(0, 10)}, kNow});
    change(p);
    auto answer = runner.offer(p, kNow, kWall);
    EXPECT_EQ(answer.refusal, Refusal::malformed);
    return answer.detail;
  };
  EXPECT_EQ(refused([](Plan& p) { p.id = kNoPlan; }), "plan_id");
  EXPECT_EQ(refused([](Plan& p) { p.score = NAN; }), "score");
  EXPECT_EQ(refused([](Plan& p) { p.byte_budget = -1; }), "byte_budget");
  EXPECT_EQ(refused([](Plan& p) { p.body = WarmPlan{}; }), "hints");
  EXPECT_EQ(refused([](Plan& p) { p.body = WarmPlan{{hint(10, 10)}, kNow}; }), "hint.range");
  EXPECT_EQ(refused([](Plan& p) { p.body = WarmPlan{{hint(-1, 10)}, kNow}; }), "hint.range");
  EXPECT_EQ(refused([](Plan& p) { p.body = WarmPlan{std::vector<Hint>(kHintsMax + 1, hint(0, 1)), kNow}; }), "hints");
  EXPECT_EQ(refused([](Plan& p) { p.body = FollowPlan{{}, partition(), 0, std::nullopt}; }), "follow.ahead_bytes");
  EXPECT_EQ(refused([](Plan& p) { p.body = chain(offsets(0, 1), {{hint(0, 1), -1ms}}); }), "chain.step.gap_us");
  EXPECT_EQ(refused([](Plan& p) { p.body = chain(offsets(0, 1), {{hint(0, 1), 0ms}}, 0); }), "chain.fires_max");
  EXPECT_EQ(refused([](Plan& p) { p.body = SchedulePlan{{hint(0, 1)}, wall_at(1000s), 0s, wall_at(900s)}; }),
            "schedule.keep_until_wall_ms");
}

// --- signals ---------------------------------------------------------------------------------------------------------

GroupEvent group_event(GroupEventKind kind, std::vector<GroupOffset> named) {
  GroupEvent out;
  out.kind = kind;
  out.group = GroupId{"billing"};
  out.offsets = std::move(named);
  return out;
}

TEST_F(PlanRunnerTest, CommittedOffsetsOfAGroupThatFormsNameItsFirstReads) {
  auto loads = runner.on_group(
      group_event(GroupEventKind::join,
                  {{partition(0), Offset{500}, -1}, {partition(1), kNoOffset, -1}, {partition(2), Offset{7}, -1}}),
      kNow);
  ASSERT_EQ(loads.size(), 2U) << "partition 1 has no committed offset";
  EXPECT_EQ(range_of(loads[0]).from, Offset{500});
  EXPECT_EQ(loads[0].bytes_max, 4_MiB);
  EXPECT_EQ(loads[0].cause.reason, Reason::group_offsets);
  EXPECT_EQ(loads[1].partition, partition(2));
}

TEST_F(PlanRunnerTest, ResetsAndTimesNameReadsToo) {
  auto reset = runner.on_group(group_event(GroupEventKind::reset, {{partition(), Offset{40}, -1}}), kNow);
  ASSERT_EQ(reset.size(), 1U);
  EXPECT_EQ(reset[0].cause.reason, Reason::offset_reset);
  auto times = runner.on_group(group_event(GroupEventKind::list_offsets, {{partition(), kNoOffset, 12345}}), kNow);
  ASSERT_EQ(times.size(), 1U);
  EXPECT_EQ(std::get<TimeRange>(times[0].range).from, from_ms(12345));
}

TEST_F(PlanRunnerTest, CommitsAndLeavingNameNothing) {
  for (auto kind : {GroupEventKind::commit, GroupEventKind::leave, GroupEventKind::sync}) {
    EXPECT_TRUE(runner.on_group(group_event(kind, {{partition(), Offset{40}, -1}}), kNow).empty());
  }
}

TEST_F(PlanRunnerTest, AMonitorThatAsksEverySecondIsHeardOnceAMinute) {
  auto ask = [&](Duration later) {
    return runner.on_group(group_event(GroupEventKind::offset_fetch, {{partition(), Offset{500}, -1}}), kNow + later)
        .size();
  };
  EXPECT_EQ(ask(0s), 1U);
  EXPECT_EQ(ask(1s), 0U);
  EXPECT_EQ(ask(59s), 0U);
  EXPECT_EQ(ask(61s), 1U);
}

TEST_F(PlanRunnerTest, WhatLeavesTheDiskIsLoadedForGroupsThatReadThere) {
  auto commit = [&](std::string group, std::int64_t offset, Duration ago) {
    auto event = group_event(GroupEventKind::commit, {{partition(), Offset{offset}, -1}});
    event.group = GroupId{std::move(group)};
    runner.on_group(event, kNow - ago);
  };
  commit("lags", 120, 5s), commit("lags", 150, 0s);
  commit("is-done", 900, 0s);
  commit("reads-the-archive-already", 50, 0s);
  commit("stopped-long-ago", 160, 10min);
  auto loads = runner.on_local_drop(partition(), offsets(100, 200), kNow);
  ASSERT_EQ(loads.size(), 1U);
  EXPECT_EQ(range_of(loads[0]).from, Offset{150});
  EXPECT_EQ(loads[0].cause.reason, Reason::retention);
  EXPECT_EQ(loads[0].bytes_max, 4_MiB);
  EXPECT_TRUE(runner.on_local_drop(partition(1), offsets(100, 200), kNow).empty());
}

TEST_F(PlanRunnerTest, CommitsOfManyGroupsAreForgottenWhenTheyAreOld) {
  auto commit = [&](int group, Instant at) {
    auto event = group_event(GroupEventKind::commit, {{partition(), Offset{150}, -1}});
    event.group = GroupId{"g" + std::to_string(group)};
    runner.on_group(event, at);
  };
  for (int i = 0; i < 20'000; ++i) commit(i, kNow);
  EXPECT_EQ(runner.on_local_drop(partition(), offsets(100, 200), kNow).size(), 16'384U) << "no more are known";
  commit(30'000, kNow + 1h);
  EXPECT_EQ(runner.on_local_drop(partition(), offsets(100, 200), kNow + 1h).size(), 1U);
}

// --- shape -----------------------------------------------------------------------------------------------------------

TEST(PlanShape, APlanIsTakenApartByWhereItsRangesLive) {
  auto whole = plan(1, WarmPlan{{hint(0, 10, 0), hint(0, 10, 1), hint(20, 30, 0), hint(0, 10, 2)}, kNow});
  EXPECT_EQ(homes_of(whole), (std::vector{partition(0), partition(1), partition(2)}));
  auto part = part_for(whole, [](const PartitionKey& key) { return key == partition(0); });
  EXPECT_EQ(std::get<WarmPlan>(part.body).hints.size(), 2U);
  EXPECT_EQ(part.byte_budget, 50_MiB) << "half of the hints, half of the budget";
  EXPECT_EQ(part.id, whole.id);
}

TEST_F(PlanRunnerTest, AGroupThatIsKnownIsFollowedWhenNoOtherFitsAnyMore) {
  auto commit = [&](std::string group, int of, std::int64_t offset) {
    auto event = group_event(GroupEventKind::commit, {{partition(of), Offset{offset}, -1}});
    event.group = GroupId{std::move(group)};
    runner.on_group(event, kNow);
  };
  for (int i = 0; i < 20'000; ++i) commit("many-partitions", i, 120);
  commit("many-partitions", 0, 150);
  auto loads = runner.on_local_drop(partition(), offsets(100, 200), kNow);
  ASSERT_EQ(loads.size(), 1U);
  EXPECT_EQ(range_of(loads[0]).from, Offset{150});
}

// Each look at all that is remembered is cheap; one for each offset of a large group held up the core for seconds.
TEST_F(PlanRunnerTest, MorePartitionsThanAreRememberedCostNoMoreThanOthers) {
  auto cpu_seconds = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  auto began = cpu_seconds();
  std::vector<GroupOffset> all;
  for (int i = 0; i < 100'000; ++i) all.push_back({partition(i), Offset{500}, -1});
  EXPECT_GT(runner.on_group(group_event(GroupEventKind::offset_fetch, all), kNow).size(), 1000U);
  for (int i = 0; i < 100'000; ++i)
    runner.on_group(group_event(GroupEventKind::commit, {{partition(i), Offset{500}, -1}}), kNow);
  EXPECT_LT(cpu_seconds() - began, 3);
}

}  // namespace
}  // namespace forelog::prefetch
