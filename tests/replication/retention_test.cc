#include "broker/replication/retention.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using log::ShardState;

const PartitionKey kPartition{TopicId{{1}}, PartitionId{0}};
constexpr WallTime kNow = from_ms(1'000'000);

// Shards of ten offsets and 100 bytes; the newest record of the i-th is `ages[i]` old. The last one is open.
log::Chain chain(std::vector<Duration> ages, int archived = 0, int dropped = 0) {
  log::Chain out(kPartition);
  for (std::size_t i = 0; i < ages.size(); ++i) {
    bool last = i + 1 == ages.size();
    log::ShardDescriptor shard;
    shard.base = Offset(static_cast<std::int64_t>(i) * 10);
    shard.end = shard.base + 10;
    shard.size = 100;
    shard.max_timestamp = to_ms(kNow) - to_ms(ages[i]);
    shard.sealed_ms = to_ms(kNow);
    shard.archived = static_cast<int>(i) < archived;
    shard.local = static_cast<int>(i) >= dropped;
    shard.state = last ? ShardState::open : shard.archived && !shard.local ? ShardState::archived : ShardState::sealed;
    out.append(shard);
  }
  return out;
}

log::TopicSettings keep_all() {
  log::TopicSettings settings;
  settings.retention = -1ms;
  return settings;
}
std::int64_t start_after(const log::Chain& chain, const log::TopicSettings& settings, Offset log_start = Offset(0)) {
  return decide_retention(chain, settings, log_start, kNow).log_start.value();
}
std::vector<std::int64_t> dropped(const log::Chain& chain, const log::TopicSettings& settings) {
  std::vector<std::int64_t> bases;
  for (const auto& id : decide_retention(chain, settings, Offset(0), kNow).drop_local) bases.push_back(id.base.value());
  return bases;
}

TEST(Retention, WithoutLimitsNothingGoes) {
  EXPECT_EQ(decide_retention(chain({500s, 400s, 300s}, 2), keep_all(), Offset(0), kNow),
            (RetentionDecision{Offset(0), {}, false}));
}

TEST(Retention, ByTimeTheOldEndGoesUpToTheFirstYoungShard) {
  auto settings = keep_all();
  settings.retention = 100s;
  EXPECT_EQ(start_after(chain({500s, 101s, 100s, 400s, 1s}), settings), 20);
}

TEST(Retention, WhatHasEndedGoesUnsealedWhereItMay) {
  auto settings = keep_all();
  settings.retention = 100s;
  auto shards = chain({500s, 400s, 300s, 200s, 150s});
  for (const auto& shard : log::Chain(shards).shards()) {
    if (shard.base > Offset(0) && shard.state == ShardState::sealed)
      shards.find(shards.id_of(shard))->state = ShardState::cut;
  }
  EXPECT_EQ(decide_retention(shards, settings, Offset(0), kNow).log_start, Offset(10));
  EXPECT_EQ(decide_retention(shards, settings, Offset(0), kNow, Offset(30)).log_start, Offset(30));
  EXPECT_EQ(decide_retention(shards, settings, Offset(0), kNow, Offset(39)).log_start, Offset(30));
  EXPECT_EQ(decide_retention(shards, settings, Offset(0), kNow, Offset(50)).log_start, Offset(40)) << "one is open";
  settings.retention = 1h;
  EXPECT_EQ(decide_retention(shards, settings, Offset(0), kNow, Offset(50)).log_start, Offset(0));
}

TEST(Retention, WhereverShardsLie) {
  auto settings = keep_all();
  settings.retention = 100s;
  EXPECT_EQ(start_after(chain({500s, 400s, 300s, 200s, 1s}, 2, 1), settings), 40);
}

TEST(Retention, BySizeNeverLessThanTheLimitIsKept) {
  auto settings = keep_all();
  settings.retention_bytes = 250;
  EXPECT_EQ(start_after(chain({1s, 1s, 1s, 1s, 1s}), settings), 20);
  settings.retention_bytes = 300;
  EXPECT_EQ(start_after(chain({1s, 1s, 1s, 1s, 1s}), settings), 20);
  settings.retention_bytes = 1000;
  EXPECT_EQ(start_after(chain({1s, 1s, 1s, 1s, 1s}), settings), 0);
}

TEST(Retention, WhatWasDeletedAlreadyDoesNotCountBySize) {
  auto settings = keep_all();
  settings.retention_bytes = 300;
  EXPECT_EQ(start_after(chain({1s, 1s, 1s, 1s, 1s}), settings, Offset(20)), 20);
}

TEST(Retention, DeletedRecordsTakeTheirWholeShardsWithThem) {
  auto compacted = keep_all();
  compacted.cleanup_policy = {"compact"};
  auto decision = decide_retention(chain({1s, 1s, 1s}), compacted, Offset(15), kNow);
  EXPECT_EQ(decision.log_start, Offset(15));
}

TEST(Retention, ATopicThatOnlyCompactsLosesNothing) {
  auto settings = keep_all();
  settings.retention = 1s;
  settings.retention_bytes = 1;
  settings.cleanup_policy = {"compact"};
  EXPECT_EQ(start_after(chain({500s, 400s, 300s}), settings), 0);
}

TEST(Retention, AnOpenShardIsEndedWhenAllOfItIsTooOld) {
  auto settings = keep_all();
  settings.retention = 100s;
  EXPECT_TRUE(decide_retention(chain({500s, 400s}), settings, Offset(0), kNow).cut);
  EXPECT_FALSE(decide_retention(chain({500s, 1s}), settings, Offset(0), kNow).cut);
  EXPECT_FALSE(decide_retention(chain({1s, 400s}), settings, Offset(0), kNow).cut);
}

TEST(Retention, LocalCopiesGoOnlyWhenTheArchiveHasThem) {
  auto settings = keep_all();
  settings.local_retention = 50s;
  EXPECT_EQ(dropped(chain({500s, 400s, 300s, 1s}, 2), settings), (std::vector<std::int64_t>{0, 10}));
  EXPECT_EQ(dropped(chain({500s, 400s, 300s, 1s}, 3, 1), settings), (std::vector<std::int64_t>{10, 20}));
  EXPECT_EQ(dropped(chain({500s, 400s, 300s, 1s}, 0), settings), (std::vector<std::int64_t>{}));
}

TEST(Retention, LocalSizeCountsWhatIsLocal) {
  auto settings = keep_all();
  settings.local_retention_bytes = 200;
  EXPECT_EQ(dropped(chain({1s, 1s, 1s, 1s, 1s}, 4, 1), settings), (std::vector<std::int64_t>{10, 20}));
}

TEST(Retention, MinusTwoMeansAsLongAsTheWhole) {
  auto settings = keep_all();
  settings.retention = 400s;
  EXPECT_EQ(dropped(chain({390s, 300s, 1s}, 2), settings), (std::vector<std::int64_t>{}));
  settings.local_retention = 350s;
  EXPECT_EQ(dropped(chain({390s, 300s, 1s}, 2), settings), (std::vector<std::int64_t>{0}));
}

TEST(Retention, LocalCopiesOfWhatGoesAltogetherAreNotDroppedTwice) {
  auto settings = keep_all();
  settings.retention = 100s;
  settings.local_retention = 50s;
  auto decision = decide_retention(chain({500s, 70s, 1s}, 2), settings, Offset(0), kNow);
  EXPECT_EQ(decision.log_start, Offset(10));
  ASSERT_EQ(decision.drop_local.size(), 1U);
  EXPECT_EQ(decision.drop_local[0].base, Offset(10));
}

}  // namespace
}  // namespace forelog::replication
