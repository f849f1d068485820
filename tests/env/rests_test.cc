#include "broker/env/real/rests.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

// How many bytes a thread handles, in pieces, until it rests.
std::size_t until_rest(RestRule& rule, std::size_t piece) {
  std::size_t handled = piece;
  while (!rule.is_due(piece)) handled += piece;
  return handled;
}

TEST(Rests, ComeAfterEachStrideWhileOthersWantTheCpu) {
  RestRule rule;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(until_rest(rule, 16 << 10), RestRule::kStride);
    rule.note_rest(RestRule::kLate + 1ns);
  }
  EXPECT_TRUE(rule.is_due(1 << 20)) << "a large piece is one";
}

TEST(Rests, BecomeRarerWhereCpusAreFree) {
  RestRule rule;
  std::size_t strides = 1;
  for (; strides < RestRule::kRarest; strides *= 2) {
    for (int i = 0; i < RestRule::kInTimeMax; ++i) {
      EXPECT_EQ(until_rest(rule, RestRule::kStride), strides * RestRule::kStride);
      rule.note_rest(RestRule::kLate);
    }
  }
  for (int i = 0; i < 3 * RestRule::kInTimeMax; ++i) {
    EXPECT_EQ(until_rest(rule, RestRule::kStride), RestRule::kRarest * RestRule::kStride);
    rule.note_rest(0ns);
  }
  rule.note_rest(1ms);
  EXPECT_EQ(until_rest(rule, RestRule::kStride), RestRule::kStride) << "late once: they are short now";
}

TEST(Rests, InTimeNowAndThenIsNotFree) {
  RestRule rule;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(until_rest(rule, RestRule::kStride), RestRule::kStride);
    rule.note_rest(i % RestRule::kInTimeMax == 0 ? 1ms : 0ns);
  }
}

TEST(QuickClients, AreRememberedForAWhile) {
  QuickClients quick;
  Instant now{1h};
  EXPECT_FALSE(quick.any(now));
  quick.note(now);
  EXPECT_TRUE(quick.any(now + QuickClients::kRemembered - 1ns));
  EXPECT_FALSE(quick.any(now + QuickClients::kRemembered));
}

}  // namespace
}  // namespace forelog::env
