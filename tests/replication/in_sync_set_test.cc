#include "broker/replication/in_sync_set.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

constexpr BrokerId kA{1}, kB{2}, kC{3};

TEST(InSyncSet, AloneTheLeadersDurableEndIsTheHighWatermark) {
  InSyncSet set(kA, {kA}, 1, 1, Offset(5));
  EXPECT_EQ(set.high_watermark(), Offset(5));
  EXPECT_FALSE(set.acknowledged(kA, Offset(5)));
  EXPECT_TRUE(set.acknowledged(kA, Offset(9)));
  EXPECT_EQ(set.high_watermark(), Offset(9));
  EXPECT_TRUE(set.has_enough());
}

TEST(InSyncSet, SlowestMemberHoldsTheHighWatermark) {
  InSyncSet set(kA, {kA, kB, kC}, 3, 2, Offset(0));
  set.acknowledged(kA, Offset(10));
  set.acknowledged(kB, Offset(7));
  EXPECT_EQ(set.high_watermark(), Offset(0));
  EXPECT_TRUE(set.acknowledged(kC, Offset(4)));
  EXPECT_EQ(set.high_watermark(), Offset(4));
  EXPECT_TRUE(set.set_members({{kA, Offset(10)}, {kB, Offset(7)}}));
  EXPECT_EQ(set.high_watermark(), Offset(7));
}

TEST(InSyncSet, NeverFalls) {
  InSyncSet set(kA, {kA}, 2, 1, Offset(0));
  set.acknowledged(kA, Offset(10));
  EXPECT_FALSE(set.acknowledged(kA, Offset(3)));
  EXPECT_FALSE(set.set_members({{kA, Offset(10)}, {kB, Offset(2)}}));
  EXPECT_EQ(set.high_watermark(), Offset(10));
  EXPECT_FALSE(set.acknowledged(BrokerId(99), Offset(50)));
}

TEST(InSyncSet, StandsStillBelowTheMinimum) {
  InSyncSet set(kA, {kA, kB}, 3, 2, Offset(0));
  EXPECT_FALSE(set.set_members({{kA, Offset(10)}}));
  EXPECT_FALSE(set.has_enough());
  EXPECT_EQ(set.high_watermark(), Offset(0));
  EXPECT_TRUE(set.set_min_in_sync(1));
  EXPECT_EQ(set.high_watermark(), Offset(10));
}

TEST(InSyncSet, MinimumIsCappedByTheReplicas) { EXPECT_TRUE(InSyncSet(kA, {kA}, 1, 2, Offset(0)).has_enough()); }

}  // namespace
}  // namespace forelog::replication
