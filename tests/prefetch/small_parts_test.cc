// The small pure parts: what became of extents, who may go on, how much, how fast.
#include "broker/prefetch/load_latency.h"
#include "broker/prefetch/outcome_ledger.h"
#include "broker/prefetch/source_records.h"
#include "broker/prefetch/token_bucket.h"
#include "broker/prefetch/waste_meter.h"

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

constexpr Instant at(Duration t) { return Instant(t); }

// --- outcomes --------------------------------------------------------------------------------------------------------

class OutcomeLedgerTest : public testing::Test {
 protected:
  OutcomeLedger::Tag open(std::uint32_t blocks, std::uint64_t plan = 9) {
    QueuedExtent entry;
    entry.extent = {{}, 0, blocks};
    entry.cause.plan = PlanId{plan};
    return ledger.open(entry, ended);
  }
  std::optional<OutcomeEvent> note(OutcomeLedger::Tag tag, OutcomeKind kind, Duration used = 0s,
                                   std::uint32_t blocks = 1) {
    cache::PrefetchOutcome outcome;
    outcome.cause.tag = tag;
    outcome.range.count = blocks;
    outcome.kind = kind;
    outcome.why = kind == OutcomeKind::refused ? cache::RefusedWhy::load_failed : cache::RefusedWhy::none;
    outcome.bytes = blocks * kBlockSize;
    outcome.started = at(1s);
    outcome.in_memory = at(2s);
    if (used > 0s) outcome.first_used = at(used);
    return ledger.note(outcome);
  }
  OutcomeLedger ledger{2};
  std::vector<OutcomeEvent> ended;
};

TEST_F(OutcomeLedgerTest, AnExtentEndsWithTheLastOfItsBlocks) {
  auto tag = open(3);
  EXPECT_FALSE(ledger.expect(tag, 3));
  EXPECT_FALSE(note(tag, OutcomeKind::used, 5s));
  EXPECT_FALSE(note(tag, OutcomeKind::used, 4s));
  auto event = note(tag, OutcomeKind::unused);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->outcome, OutcomeKind::used);
  EXPECT_EQ(event->bytes, 3 * kBlockSize);
  EXPECT_EQ(event->used_bytes, 2 * kBlockSize);
  EXPECT_EQ(event->first_used, at(4s));
  EXPECT_EQ(event->cause.plan, PlanId{9});
  EXPECT_EQ(ledger.size(), 0U);
}

TEST_F(OutcomeLedgerTest, OneBlockThatSomebodyWaitedForMakesItLate) {
  auto tag = open(2);
  ledger.expect(tag, 2);
  note(tag, OutcomeKind::late, 1500ms);
  auto event = note(tag, OutcomeKind::used, 3s);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->outcome, OutcomeKind::late);
  EXPECT_EQ(event->late, 500ms);
}

TEST_F(OutcomeLedgerTest, OnlyWhatWasNotLoadedAtAllIsRefused) {
  auto some = open(2);
  ledger.expect(some, 2);
  note(some, OutcomeKind::refused);
  EXPECT_EQ(note(some, OutcomeKind::unused)->outcome, OutcomeKind::unused);
  auto none = open(2);
  EXPECT_FALSE(note(none, OutcomeKind::refused, 0s, 2)) << "refused while the load was being started";
  auto event = ledger.expect(none, 2);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->outcome, OutcomeKind::refused);
  EXPECT_EQ(event->refusal, Refusal::load_failed);
}

TEST_F(OutcomeLedgerTest, TheTagTellsTheReasonAndTheOutcomeWhoUsedItFirst) {
  QueuedExtent entry;
  entry.cause.reason = Reason::retention;
  std::vector<OutcomeEvent> none;
  auto tag = ledger.open(entry, none), another = ledger.open(entry, none);
  EXPECT_NE(tag, another);
  EXPECT_EQ(OutcomeLedger::reason_of(tag), Reason::retention);
  EXPECT_EQ(OutcomeLedger::reason_of(another), Reason::retention);
  ledger.expect(tag, 2);
  cache::PrefetchOutcome used;
  used.cause.tag = tag;
  used.range.count = 1;
  used.first_used = Instant(3s), used.used_by = ReaderId{8};
  ledger.note(used);
  used.first_used = Instant(2s), used.used_by = ReaderId{9};
  EXPECT_EQ(ledger.note(used)->used_by, ReaderId{9});
}

TEST_F(OutcomeLedgerTest, WhatWasCachedAlreadyHasNoOutcome) {
  auto tag = open(2);
  EXPECT_FALSE(ledger.expect(tag, 0));
  EXPECT_EQ(ledger.size(), 0U);
}

TEST_F(OutcomeLedgerTest, TheOldestIsEndedWhenTooManyAreOpen) {
  open(1, 1), open(1, 2), open(1, 3);
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].cause.plan, PlanId{1});
  EXPECT_EQ(ledger.size(), 2U);
}

// --- sources ---------------------------------------------------------------------------------------------------------

TEST(SourceRecords, ASourceIsStarvedWhenItsWholeWindowWentUnreadAndRecovers) {
  SourceRecords sources(3);
  sources.note(Reason::twin, false), sources.note(Reason::twin, false);
  EXPECT_FALSE(sources.is_starved(Reason::twin)) << "too little is known";
  sources.note(Reason::twin, false);
  EXPECT_TRUE(sources.is_starved(Reason::twin));
  EXPECT_FALSE(sources.is_starved(Reason::run));
  int admitted = 0;
  for (int i = 0; i < 2 * SourceRecords::kTrickle; ++i) admitted += sources.admit(Reason::twin);
  EXPECT_EQ(admitted, 2);
  sources.note(Reason::twin, true);
  EXPECT_TRUE(sources.admit(Reason::twin));
  EXPECT_DOUBLE_EQ(sources.precision(Reason::twin), 1.0 / 3);
}

TEST(SourceRecords, WhatPeopleAnnouncedIsNeverStarved) {
  SourceRecords sources(1);
  sources.note(Reason::announced, false);
  EXPECT_TRUE(sources.admit(Reason::announced));
}

// --- budget ----------------------------------------------------------------------------------------------------------

TEST(TokenBucket, OverdrawsOnceAndPaysBack) {
  TokenBucket bucket(100);
  ASSERT_TRUE(bucket.has_any(at(0s)));
  bucket.take(125);  // of 25
  EXPECT_FALSE(bucket.has_any(at(500ms)));
  auto next = bucket.next(at(500ms));
  EXPECT_GT(next, at(1s));
  EXPECT_LT(next, at(1100ms));
  EXPECT_TRUE(bucket.has_any(next));
}

TEST(TokenBucket, SavesUpAQuarterOfASecondAtMost) {
  TokenBucket bucket(100);
  bucket.has_any(at(1h));
  EXPECT_EQ(bucket.tokens(), 25);
}

TEST(TokenBucket, WithoutARateThereIsNothing) {
  TokenBucket bucket(0);
  EXPECT_FALSE(bucket.has_any(at(1h)));
  EXPECT_EQ(bucket.next(at(1h)), Instant::max());
}

// --- measures --------------------------------------------------------------------------------------------------------

TEST(WasteMeter, IsWhatWentUnreadOfAllThatWasReadInFiveMinutes) {
  WasteMeter waste;
  EXPECT_EQ(waste.share(at(0s)), 0);
  waste.note(at(5s), 900, 50);
  waste.note(at(100s), 100, 50);
  EXPECT_DOUBLE_EQ(waste.share(at(100s)), 0.1);
  EXPECT_DOUBLE_EQ(waste.share(at(310s)), 0.5) << "the first has passed";
  EXPECT_EQ(waste.share(at(1000s)), 0);
}

TEST(LoadLatency, FollowsTheSlowOnes) {
  LoadLatency latency;
  EXPECT_EQ(latency.high(), 50ms);
  latency.note(20ms);
  EXPECT_EQ(latency.high(), 20ms);
  for (int i = 0; i < 2000; ++i) latency.note(i % 20 == 0 ? 200ms : 20ms);
  EXPECT_EQ(latency.high(), 200ms);
  for (int i = 0; i < 2000; ++i) latency.note(30ms);
  EXPECT_EQ(latency.high(), 30ms);
}

}  // namespace
}  // namespace forelog::prefetch
