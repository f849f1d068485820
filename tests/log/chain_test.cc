#include "broker/log/chain.h"

#include "broker/log/shard_cutter.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

ShardDescriptor shard(int base, int end, ShardState state = ShardState::sealed) {
  ShardDescriptor out;
  out.base = Offset(base);
  out.end = Offset(end);
  out.state = state;
  out.size = end - base;
  return out;
}

Chain chain() {
  return *Chain::make({},
                      {shard(0, 10), shard(10, 25), shard(25, 30, ShardState::cut), shard(30, 34, ShardState::open)});
}

std::string bases(const Chain& c) {
  std::string out;
  for (const auto& s : c.shards()) out += std::to_string(s.base.value()) + " ";
  return out;
}

TEST(Chain, RefusesGapsOverlapsAndOpenShardsInTheMiddle) {
  EXPECT_FALSE(Chain::make({}, {shard(0, 10), shard(11, 20)}).has_value());
  EXPECT_FALSE(Chain::make({}, {shard(0, 10), shard(9, 20)}).has_value());
  EXPECT_FALSE(Chain::make({}, {shard(0, 10, ShardState::open), shard(10, 20)}).has_value());
  EXPECT_FALSE(Chain::make({}, {shard(0, 0), shard(0, 20)}).has_value());
  EXPECT_TRUE(Chain::make({}, {shard(0, 10), shard(10, 10, ShardState::open)}).has_value());
}

TEST(Chain, FindsTheShardOfAnOffset) {
  auto c = chain();
  EXPECT_EQ(c.find(Offset(0))->base, Offset(0));
  EXPECT_EQ(c.find(Offset(24))->base, Offset(10));
  EXPECT_EQ(c.find(Offset(34))->base, Offset(30)) << "the open shard holds its end";
  EXPECT_EQ(c.find(Offset(35)), nullptr);
  EXPECT_EQ(c.find(ShardId{{}, Offset(10), Generation(1)}), nullptr);
}

TEST(Chain, DropsWholeShardsInFrontButNeverTheLast) {
  auto c = chain();
  EXPECT_EQ(c.drop_front(Offset(24)).size(), 1U);
  EXPECT_EQ(bases(c), "10 25 30 ");
  EXPECT_EQ(c.drop_front(Offset(100)).size(), 2U);
  EXPECT_EQ(bases(c), "30 ");
}

TEST(Chain, DroppingTheBackReopensTheShardThatIsCutThrough) {
  auto c = chain();
  EXPECT_EQ(c.drop_back(Offset(27)).size(), 1U);
  EXPECT_EQ(c.open()->base, Offset(25));
  EXPECT_EQ(c.end(), Offset(27));
  auto at_boundary = chain();
  at_boundary.drop_back(Offset(30));
  EXPECT_EQ(at_boundary.open(), nullptr);
  EXPECT_EQ(at_boundary.end(), Offset(30));
}

TEST(Chain, ReplacesARunOfShardsByOneOfAHigherGeneration) {
  auto c = chain();
  auto merged = shard(0, 25);
  EXPECT_EQ(c.replace(merged).error().code, ErrorCode::kConflict);
  merged.generation = Generation(1);
  EXPECT_TRUE(c.replace(merged).has_value());
  EXPECT_EQ(bases(c), "0 25 30 ");
  auto uneven = shard(0, 28);
  uneven.generation = Generation(2);
  EXPECT_EQ(c.replace(uneven).error().code, ErrorCode::kConflict);
}

class ShardCutter : public testing::Test {
 protected:
  ShardCutter() {
    open = shard(0, 10, ShardState::open);
    open.size = 900;
    open.epochs = {{Epoch(4), Offset(0)}};
    open.first_timestamp = open.max_timestamp = 5000;
    open.created_ms = 100'000;
    settings.segment_bytes = 1000;
    settings.segment_age = 60s;
    next = {100, Epoch(4), 5000, 1};
  }
  std::string decision(WallTime now = from_ms(100'000)) {
    auto reason = cut_before(open, next, settings, now);
    return reason ? std::string(name_of(*reason)) : "goes on";
  }
  ShardDescriptor open;
  Incoming next;
  TopicSettings settings;
};

TEST_F(ShardCutter, EndsAShardBeforeItOutgrowsItsSize) {
  EXPECT_EQ(decision(), "goes on");
  next.size = 101;
  EXPECT_EQ(decision(), "size");
  open.end = open.base;
  EXPECT_EQ(decision(), "goes on") << "an empty shard takes a batch of any size";
}

TEST_F(ShardCutter, EndsAShardAtANewEpochHoweverSmall) {
  next.epoch = Epoch(5);
  EXPECT_EQ(decision(), "epoch");
}

TEST_F(ShardCutter, EndsAnOldShardByTheRecordsClockOrOurs) {
  next.max_timestamp = 65'000;
  EXPECT_EQ(decision(), "goes on");
  next.max_timestamp = 65'001;
  EXPECT_EQ(decision(), "age");
  next.max_timestamp = INT64_MAX;
  open.first_timestamp = INT64_MIN;
  EXPECT_EQ(decision(), "goes on") << "no clock, no age";
  EXPECT_EQ(decision(from_ms(160'001)), "age");
  EXPECT_TRUE(cut_by_age(open, settings, from_ms(160'001)));
}

TEST_F(ShardCutter, RelativeOffsetsAndPositionsStayWithin32Bits) {
  next.offsets = INT32_MAX;
  EXPECT_EQ(decision(), "offsets");
  next.offsets = 1;
  settings.segment_bytes = INT32_MAX;
  open.size = INT32_MAX - 50;
  EXPECT_EQ(decision(), "position");
}

}  // namespace
}  // namespace forelog::log
