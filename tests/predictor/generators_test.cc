#include "predictor/generators/sessions.h"
#include "predictor/generators/strided_runs.h"
#include "predictor/generators/temporal_streams.h"
#include "tests/predictor/reads.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

namespace forelog::predictor {
namespace {

using test::blocks_of;
using test::Reading;
using test::run;
using Blocks = std::vector<std::int64_t>;

// What the generator would say next must survive a snapshot.
template <class T>
T copy_by_snapshot(const T& generator, auto settings) {
  ByteWriter out;
  generator.save(out);
  T copy(settings);
  ByteReader in(out.view());
  EXPECT_TRUE(copy.load(in));
  EXPECT_TRUE(in.at_end());
  return copy;
}

// No prefix of a snapshot may be taken for a whole one, nor bring anything down.
template <class T>
void refuses_every_prefix(const T& generator, auto settings) {
  ByteWriter out;
  generator.save(out);
  for (std::size_t size = 0; size < out.size(); size += 1 + size / 16) {
    T copy(settings);
    ByteReader in(out.view().first(size));
    EXPECT_FALSE(copy.load(in)) << size;
  }
}

// --- strided runs ----------------------------------------------------------------------------------------------------

TEST(StridedRuns, ASequentialReaderIsReadAheadByItsLeadTime) {
  StridedRuns runs({.lead = 100ms});
  Reading reading(runs, 1);
  reading.read_all(run(7, 0, 20));
  auto ahead = blocks_of(reading.read({7, 20}), 7);
  ASSERT_FALSE(ahead.empty());
  // 100 ms at 20 ms a block: five blocks and one to spare; those before were proposed earlier.
  EXPECT_EQ(ahead.back(), 26);
}

// As most readers of a broker do: a fetch brings a megabyte.
TEST(StridedRuns, AReaderWhoseFirstReadIsOfSeveralBlocksIsReadAheadByItsLeadTime) {
  StridedRuns runs({.lead = 100ms});
  Reading reading(runs, 1);
  reading.at = Instant(500'000h);  // as far from zero as wall time is
  for (std::int64_t block = 0; block < 80; block += 4) {
    auto read_at = reading.at;
    for (const auto& candidate : reading.read({7, block}, 4)) EXPECT_LE(candidate.needed_by, read_at + 1s) << block;
  }
  auto ahead = blocks_of(reading.read({7, 80}, 4), 7);
  ASSERT_FALSE(ahead.empty());
  EXPECT_EQ(ahead.back(), 83 + 21) << "100 ms at 5 ms a block, and one to spare";
}

TEST(StridedRuns, EveryFourthBlockIsForeseenAndNothingBetween) {
  StridedRuns runs({.lead = 100ms});
  Reading reading(runs, 1);
  auto ahead = blocks_of(reading.read_all(run(7, 0, 10, 4)), 7);
  ASSERT_FALSE(ahead.empty());
  for (auto block : ahead) EXPECT_EQ(block % 4, 0) << block;
}

TEST(StridedRuns, BackwardsIsAStepToo) {
  StridedRuns runs({});
  Reading reading(runs, 1);
  auto ahead = blocks_of(reading.read_all(run(7, 100, 10, -1)), 7);
  ASSERT_FALSE(ahead.empty());
  EXPECT_LT(ahead.front(), 91);
}

TEST(StridedRuns, OneReadOutOfTurnDoesNotEndTheRun) {
  StridedRuns runs({});
  Reading reading(runs, 1);
  reading.read_all(run(7, 0, 10));
  reading.read({7, 500});
  reading.read({7, 10});
  EXPECT_FALSE(blocks_of(reading.read({7, 11}), 7).empty());
}

TEST(StridedRuns, PartitionsReadInTurnAreEachARunOfTheirOwn) {
  StridedRuns runs({});
  Reading reading(runs, 1);
  for (std::int64_t block = 0; block < 6; ++block) reading.read({1, block}), reading.read({2, 50 + block});
  EXPECT_FALSE(blocks_of(reading.read({1, 6}), 1).empty());
  EXPECT_FALSE(blocks_of(reading.read({2, 56}), 2).empty());
}

TEST(StridedRuns, RandomReadsProposeNothing) {
  StridedRuns runs({});
  Reading reading(runs, 1);
  std::size_t proposed = 0;
  std::uint64_t state = 1;
  for (int i = 0; i < 2000; ++i)
    proposed += reading.read({7, static_cast<std::int64_t>((state = mix(state + 1)) % 1'000'000)}).size();
  EXPECT_LE(proposed, 5U);
}

TEST(StridedRuns, LatenessReachesFurther) {
  StridedRuns calm({.lead = 100ms}), late({.lead = 100ms});
  Reading reading_calm(calm, 1), reading_late(late, 1);
  for (auto place : run(7, 0, 20))
    reading_calm.read(place, 1, Answer::planned), reading_late.read(place, 1, Answer::late);
  auto reach = [](Reading& reading) { return blocks_of(reading.read({7, 20}), 7); };
  EXPECT_GT(reach(reading_late).back(), reach(reading_calm).back());
}

TEST(StridedRuns, ForgetsTheReadersOfLongAgoAndSurvivesARestart) {
  StridedRunsSettings settings{.runs_max = 100};
  StridedRuns runs(settings);
  for (ReaderId reader = 0; reader < 1000; ++reader) Reading(runs, reader).read_all(run(1, 0, 8));
  EXPECT_LT(runs.memory_bytes(), 100U * 300);
  auto copy = copy_by_snapshot(runs, settings);
  Reading before(runs, 999), after(copy, 999);
  before.at = after.at += 160ms;
  EXPECT_EQ(blocks_of(before.read({1, 8}), 1), blocks_of(after.read({1, 8}), 1));
  refuses_every_prefix(runs, settings);
}

// --- temporal streams ------------------------------------------------------------------------------------------------

const std::vector<Place> kChain = {{1, 10}, {9, 400}, {3, 77}, {5, 5}, {2, 1000}};

TEST(TemporalStreams, WhatFollowedLastTimeIsProposedWhenTheFirstPlaceComesBack) {
  TemporalStreams streams({});
  Reading yesterday(streams, 1, 6), today(streams, 2, 6);
  yesterday.read_all(kChain);
  today.at += 24h;
  auto ahead = today.read(kChain[0]);
  ASSERT_EQ(ahead.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ahead[i].place, kChain[i + 1]);
    EXPECT_EQ(ahead[i].needed_by - today.at + today.gap, (i + 1) * 20ms);
  }
}

TEST(TemporalStreams, AnotherJobProfitsToo) {
  TemporalStreams streams({});
  Reading(streams, 1, 6).read_all(kChain);
  Reading other(streams, 2, 7);
  other.at += 1h;
  EXPECT_EQ(other.read(kChain[0]).size(), 4U);
}

TEST(TemporalStreams, ThePredecessorTellsTwoChainsApart) {
  TemporalStreams streams({});
  Reading a(streams, 1, 1), b(streams, 2, 2);
  a.read_all({{1, 1}, {5, 5}, {1, 2}});
  b.at = a.at;
  b.read_all({{2, 1}, {5, 5}, {2, 2}});
  Reading again(streams, 3, 3);
  again.at += 1h;
  again.read({1, 1});
  auto ahead = again.read({5, 5});
  ASSERT_FALSE(ahead.empty());
  EXPECT_EQ(ahead[0].place, (Place{1, 2}));
}

TEST(TemporalStreams, ASkippedPlaceAndAStrayReadDoNotLoseTheStream) {
  TemporalStreams streams({.horizon = 60ms});
  Reading(streams, 1, 6).read_all(run(1, 0, 40, 7));
  Reading again(streams, 2, 6);
  again.at += 1h;
  again.read_all(run(1, 0, 10, 7));
  again.read({1, 77});      // 70 is left out
  again.read({400, 1234});  // from somewhere else
  auto ahead = again.read({1, 84});
  ASSERT_FALSE(ahead.empty());
  EXPECT_EQ(ahead[0].place, (Place{1, 91}));
}

TEST(TemporalStreams, AChainIsOfferedAsATriggerOnceThePastAgreesWithItself) {
  TemporalStreams streams({});
  auto triggers = [](const std::vector<Candidate>& list) {
    return std::ranges::count_if(list, [](const Candidate& c) { return c.trigger.has_value(); });
  };
  Reading reading(streams, 1, 6);
  for (int day = 0; day < 3; ++day) {
    reading.at += 24h;
    reading.read({99, day});
    auto first = reading.read(kChain[0]);
    EXPECT_EQ(triggers(first) > 0, day >= 2) << day;
    for (std::size_t i = 1; i < kChain.size(); ++i) reading.read(kChain[i]);
  }
}

TEST(TemporalStreams, RemembersABoundedNumberOfReads) {
  TemporalStreamsSettings settings{.reads_max = 1024};
  TemporalStreams streams(settings);
  Reading reading(streams, 1);
  reading.read_all(kChain);
  reading.read_all(run(50, 0, 2000));
  EXPECT_TRUE(reading.read(kChain[0]).empty());
  EXPECT_LT(streams.memory_bytes(), 1024U * 200);
}

TEST(TemporalStreams, KnowsAfterARestartWhatItKnewBefore) {
  TemporalStreamsSettings settings{.reads_max = 256};
  TemporalStreams streams(settings);
  Reading(streams, 1, 6).read_all(kChain);
  auto copy = copy_by_snapshot(streams, settings);
  Reading reading(copy, 9, 6);
  reading.at += 1h;
  EXPECT_EQ(reading.read(kChain[0]).size(), 4U);
  refuses_every_prefix(streams, settings);
}

// --- sessions --------------------------------------------------------------------------------------------------------

// Three partitions from given offsets, ten blocks each.
void run_job(Reading& reading, std::int64_t from = 100) {
  for (std::int64_t block = from; block < from + 10; ++block)
    for (StreamId stream = 1; stream <= 3; ++stream) reading.read({stream, block});
}

TEST(Sessions, TheFirstReadOfAKnownJobWarmsTheHeadsOfItsOtherPartitions) {
  Sessions sessions({.heads_blocks = 12});
  Reading reading(sessions, 1);
  run_job(reading);
  reading.at += 1h;
  auto ahead = reading.read({1, 100});
  EXPECT_EQ(blocks_of(ahead, 2), (Blocks{100, 101, 102, 103}));
  EXPECT_EQ(blocks_of(ahead, 3), (Blocks{100, 101, 102, 103}));
  auto follows = std::ranges::count_if(ahead, [](const Candidate& c) { return c.until == 109; });
  EXPECT_EQ(follows, 3);
}

TEST(Sessions, AnAnnouncementIsEnough) {
  Sessions sessions({.heads_blocks = 12});
  Reading reading(sessions, 1);
  run_job(reading);
  std::vector<Candidate> out;
  sessions.announce({.at = reading.at + 1h, .job = 1, .place = Place{2, 100}}, out);
  EXPECT_EQ(blocks_of(out, 1).size(), 4U);
  // The same start is not announced twice.
  out.clear();
  sessions.announce({.at = reading.at + 1h, .job = 1, .place = Place{3, 100}}, out);
  EXPECT_TRUE(out.empty());
}

// Room for what is not read yet is short: what is wanted first has to be named as such.
TEST(Sessions, TheHeadOfALaterPartitionIsWantedBeforeTheEndOfALongRange) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  reading.read_all(run(1, 0, 10));
  for (std::int64_t block = 0; block < 20; ++block) reading.read({1, 10 + block}), reading.read({2, block});
  reading.at += 1h;
  auto began = reading.at;
  std::map<Place, Duration> wanted;
  for (const auto& c : reading.read({1, 0}))
    if (!c.until && !c.trigger) wanted[c.place] = c.needed_by - began;
  EXPECT_EQ((wanted[{1, 0}]), 0ms);
  EXPECT_EQ((wanted[{2, 0}]), 11 * 20ms);
  EXPECT_GT((wanted[{1, 20}]), (wanted[{2, 0}]));
  EXPECT_GT((wanted[{2, 10}]), (wanted[{2, 0}]));
}

TEST(Sessions, AGroupIsExpectedToReadHalfAsLongAfterItFormedAsLastTimeOrLater) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  run_job(reading);
  std::vector<Candidate> out;
  auto form = [&](Duration before) {
    reading.at += 1h;
    out.clear();
    sessions.announce({.at = reading.at, .job = 1, .place = {}}, out);
    sessions.announce({.at = reading.at + 10ms, .job = 1, .place = {}}, out);  // another member
    auto first_wanted = std::ranges::min(out, {}, &Candidate::needed_by).needed_by - reading.at;
    reading.at += before;
    run_job(reading);
    return first_wanted;
  };
  EXPECT_EQ(form(3s), 0s) << "nobody knows yet";
  EXPECT_EQ(form(2s), 1500ms);
  auto copy = copy_by_snapshot(sessions, SessionsSettings{});
  out.clear();
  copy.announce({.at = reading.at + 1h, .job = 1, .place = {}}, out);
  EXPECT_EQ(std::ranges::min(out, {}, &Candidate::needed_by).needed_by - (reading.at + 1h), 1s);
}

TEST(Sessions, AnEndThatVariesIsFollowedToItsFurthestAndLeftAtItsNearest) {
  Sessions sessions({.lead = 100ms});
  Reading reading(sessions, 1);
  for (std::int64_t length : {24, 20}) {
    reading.read_all(run(1, 0, length)), reading.read_all(run(1, 500, 20));
    reading.at += 1h;
  }
  auto ahead = reading.read({1, 0});
  auto follow = std::ranges::find_if(ahead, [](const Candidate& c) { return c.until && c.place.block == 0; });
  ASSERT_NE(follow, ahead.end());
  EXPECT_EQ(follow->until, 23);
  auto chain = std::ranges::find_if(ahead, [](const Candidate& c) { return c.trigger && c.place.block == 500; });
  ASSERT_NE(chain, ahead.end());
  EXPECT_EQ(chain->trigger->block, 14) << "the lead before the end that it reached each time";
}

TEST(Sessions, AStartElsewhereProposesNothing) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  run_job(reading);
  reading.at += 1h;
  EXPECT_TRUE(reading.read({1, 5000}).empty());
}

TEST(Sessions, AWindowThatMovesIsExpectedWhereItMovesTo) {
  Sessions sessions({.heads_blocks = 12});
  Reading reading(sessions, 1);
  for (std::int64_t day = 0; day < 2; ++day) run_job(reading, 100 + 10 * day), reading.at += 24h;
  auto ahead = reading.read({1, 120});
  EXPECT_EQ(blocks_of(ahead, 2), (Blocks{120, 121, 122, 123}));
}

TEST(Sessions, LaterPartitionsWaitForTheirTurn) {
  Sessions sessions({.heads_blocks = 8, .early = 1s});
  Reading reading(sessions, 1);
  reading.read_all(run(1, 0, 100));  // two seconds
  reading.read_all(run(2, 0, 100));
  reading.at += 1h;
  EXPECT_TRUE(blocks_of(reading.read({1, 0}), 2).empty());
  std::vector<std::int64_t> heads;
  for (auto place : run(1, 1, 99))
    for (auto block : blocks_of(reading.read(place), 2)) heads.push_back(block);
  EXPECT_EQ(heads, (Blocks{0, 1, 2, 3}));
}

TEST(Sessions, AGroupThatFormsIsItsJobBeginning) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  run_job(reading);
  std::vector<Candidate> out;
  sessions.announce({.at = reading.at + 1s, .job = 1, .place = {}}, out);
  EXPECT_TRUE(out.empty()) << "the job is still under way";
  sessions.announce({.at = reading.at + 1h, .job = 2, .place = {}}, out);
  EXPECT_TRUE(out.empty()) << "nobody knows this job";
  sessions.announce({.at = reading.at + 1h, .job = 1, .place = {}}, out);
  for (StreamId stream = 1; stream <= 3; ++stream) EXPECT_EQ(blocks_of(out, stream).front(), 100);
  // It did not come; the next time it is expected again.
  out.clear();
  sessions.announce({.at = reading.at + 2h, .job = 1, .place = {}}, out);
  EXPECT_FALSE(out.empty());
}

// Two ranges of one partition, and back: 0 to 19, 500 to 519, 200 to 219.
void run_ranges(Reading& reading) {
  for (std::int64_t from : {0, 500, 200}) reading.read_all(run(1, from, 20));
}

TEST(Sessions, AJumpToTheNextRangeIsForeseenInTheRangeBefore) {
  Sessions sessions({.lead = 100ms});  // five reads
  Reading reading(sessions, 1);
  run_ranges(reading);
  reading.at += 1h;
  auto ahead = reading.read({1, 0});
  std::map<std::int64_t, std::int64_t> trigger_of;  // first block of a range → the block that triggers it
  for (const auto& c : ahead)
    if (c.trigger && (c.place.block == 500 || c.place.block == 200)) trigger_of[c.place.block] = c.trigger->block;
  EXPECT_EQ(trigger_of, (std::map<std::int64_t, std::int64_t>{{500, 14}, {200, 514}}));
  // Each range is followed to its own end, and nothing of the later ones is fetched at once.
  std::set<std::pair<std::int64_t, std::int64_t>> followed;
  for (const auto& c : ahead)
    if (c.until) followed.insert({c.place.block, *c.until});
  EXPECT_EQ(followed, (std::set<std::pair<std::int64_t, std::int64_t>>{{0, 19}, {500, 519}, {200, 219}}));
  EXPECT_LT(std::ranges::max(blocks_of(ahead, 1)), 20);
}

TEST(Sessions, KnowTheWayOfAJobThatWentItTwice) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  run_ranges(reading), reading.at += 1h;
  reading.read({1, 0});
  EXPECT_FALSE(sessions.knows_the_way(1, 1)) << "it may have been by chance";
  reading.read_all(run(1, 1, 19)), reading.read_all(run(1, 500, 20)), reading.read_all(run(1, 200, 20));
  reading.at += 1h;
  reading.read({1, 0});
  EXPECT_TRUE(sessions.knows_the_way(1, 1));
  EXPECT_FALSE(sessions.knows_the_way(1, 2)) << "nothing is known of that partition";
  EXPECT_FALSE(sessions.knows_the_way(2, 1)) << "another job";
}

TEST(Sessions, DoNotKnowTheWayOfOneThatHopsAbout) {
  Sessions sessions({});
  Reading reading(sessions, 1);
  for (int time = 0; time < 3; ++time) {
    for (std::int64_t i = 0; i < 40; ++i) reading.read({1, i * 37 % 500});
    reading.at += 1h;
  }
  reading.read({1, 0});
  EXPECT_FALSE(sessions.knows_the_way(1, 1)) << "others may, block by block";
}

TEST(Sessions, KnowTheirJobsAfterARestart) {
  Sessions sessions({.heads_blocks = 12});
  Reading before(sessions, 1);
  run_job(before);
  auto copy = copy_by_snapshot(sessions, SessionsSettings{.heads_blocks = 12});
  Reading reading(copy, 2);
  reading.at = before.at + 1h;
  EXPECT_EQ(blocks_of(reading.read({1, 100}), 2).size(), 4U);
  refuses_every_prefix(sessions, SessionsSettings{});
}

}  // namespace
}  // namespace forelog::predictor
