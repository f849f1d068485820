#include "broker/log/compaction.h"

#include "broker/log/batch_builder.h"
#include "broker/log/shard_cutter.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

constexpr std::array<std::uint64_t, 2> kSecret{1, 2};
const WallTime kNow = from_ms(1'000'000);

// --- keys ------------------------------------------------------------------------------------------------------------

TEST(KeyMap, HashesAsItsAuthorsDo) {
  // The first two vectors of the reference implementation: key 00 01 … 0f, no bytes, and the byte 00.
  std::array<std::uint64_t, 2> secret{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(sip_hash(secret, {}), (KeyHash{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(sip_hash(secret, as_bytes(std::string_view("\0", 1))), (KeyHash{0x44af996bd8c187da, 0x45fc229b11597634}));
}

TEST(KeyMap, KeepsTheLargestOffsetOfEachKeyAndSaysWhenItIsFull) {
  KeyMap map(1000, 8 * 24, kSecret);  // eight slots, six of them used
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(map.put(as_bytes(std::to_string(i)), Offset(i)));
  EXPECT_FALSE(map.put(as_bytes("6"), Offset(6)));
  EXPECT_TRUE(map.put(as_bytes("3"), Offset(9)));
  EXPECT_TRUE(map.put(as_bytes("3"), Offset(8)));
  EXPECT_EQ(map.find(as_bytes("3")), Offset(9));
  EXPECT_EQ(map.find(as_bytes("6")), std::nullopt);
  EXPECT_EQ(map.size(), 6U);
  EXPECT_LE(map.memory(), 8 * 24);
}

// --- what stays ------------------------------------------------------------------------------------------------------

struct Kept {
  std::int64_t offset;
  std::int64_t timestamp;
  std::string key;
  std::string value;
  friend bool operator==(const Kept&, const Kept&) = default;
};

std::vector<Kept> records_of(const Buffer& bytes) {
  std::vector<Kept> out;
  if (bytes.empty()) return out;
  auto batch = parse_intact(bytes);
  EXPECT_TRUE(batch) << batch.error().text();
  auto records = Records::open(*batch, 64_MiB);
  EXPECT_TRUE(records);
  for (Record record; *records->next(record);) {
    out.push_back({record.offset.value(), record.timestamp, std::string(as_text(record.key.value_or(as_bytes("-")))),
                   std::string(as_text(record.value.value_or(as_bytes("(none)"))))});
  }
  return out;
}

class CleanBatch : public testing::Test {
 protected:
  CleanedBatch clean(const Buffer& bytes, bool keep_header = false) {
    CleanRules rules{map, map_end, now, 1h, is_last};
    auto out = clean_batch(bytes, rules, keep_header);
    EXPECT_TRUE(out) << out.error().text();
    return *std::move(out);
  }
  KeyMap map{100, 1_MiB, kSecret};
  Offset map_end{1000};
  WallTime now = kNow;
  std::function<bool(BatchView)> is_last;
};

TEST_F(CleanBatch, OnlyTheNewestRecordOfEachKeyStaysAtItsOffsetAndTime) {
  map.put(as_bytes("a"), Offset(12));
  map.put(as_bytes("b"), Offset(11));
  map.put(as_bytes("c"), Offset(500));
  for (auto codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    BatchBuilder builder{Offset(10)};
    builder.codec(codec).producer(ProducerId(7), 3, 100);
    builder.add(500, "a", "1").add(700, "b", "2", {{"h", "x"}}).add(600, "a", "3").add(900, "c", "4");
    auto bytes = std::move(builder).build();
    set_leader_epoch(writable(bytes), Epoch(5));
    auto out = clean(bytes);
    EXPECT_TRUE(out.changed);
    EXPECT_EQ(out.records_removed, 2);
    EXPECT_EQ(records_of(out.bytes), (std::vector<Kept>{{11, 700, "b", "2"}, {12, 600, "a", "3"}}));
    auto view = *BatchView::parse(out.bytes);
    EXPECT_EQ(view.codec(), codec);
    EXPECT_EQ(view.base_offset(), Offset(10));
    EXPECT_EQ(view.last_offset(), Offset(13));
    EXPECT_EQ(view.leader_epoch(), Epoch(5));
    EXPECT_EQ(view.producer_id(), ProducerId(7));
    EXPECT_EQ(view.producer_epoch(), 3);
    EXPECT_EQ(view.base_sequence(), 100);
    EXPECT_EQ(view.last_sequence(), 103);
    EXPECT_EQ(view.max_timestamp(), 700);
    EXPECT_EQ(view.record_count(), 2);
  }
}

TEST_F(CleanBatch, WhatNeedsNoChangeIsNotTouched) {
  map.put(as_bytes("a"), Offset(0));
  auto bytes = std::move(BatchBuilder(Offset(0)).add(1, "a", "1").add(2, "unknown", "2")).build();
  auto out = clean(bytes);
  EXPECT_FALSE(out.changed);
  EXPECT_EQ(out.bytes.data(), bytes.data());
}

TEST_F(CleanBatch, ABatchBeyondTheMapStays) {
  map.put(as_bytes("a"), Offset(50));
  map_end = Offset(11);
  auto bytes = std::move(BatchBuilder(Offset(10)).add(1, "a", std::nullopt).add(2, "a", "2")).build();
  EXPECT_FALSE(clean(bytes).changed);
  map_end = Offset(12);
  EXPECT_TRUE(clean(bytes).bytes.empty());
}

TEST_F(CleanBatch, ATombstoneStaysForItsTimeAfterThePassThatMetItAndThenGoes) {
  map.put(as_bytes("a"), Offset(1));
  auto bytes = std::move(BatchBuilder(Offset(0)).add(500, "b", "1").add(600, "a", std::nullopt)).build();
  auto first = clean(bytes);
  EXPECT_TRUE(first.changed);
  EXPECT_TRUE(first.has_tombstones);
  EXPECT_EQ(records_of(first.bytes), (std::vector<Kept>{{0, 500, "b", "1"}, {1, 600, "a", "(none)"}}));
  auto view = *BatchView::parse(first.bytes);
  EXPECT_TRUE(view.has_delete_horizon());
  EXPECT_EQ(view.base_timestamp(), to_ms(kNow + 1h));
  EXPECT_EQ(view.max_timestamp(), 600);

  now = kNow + 1h - 1ms;
  EXPECT_FALSE(clean(first.bytes).changed) << "the horizon is set once";
  now = kNow + 1h;
  auto last = clean(first.bytes);
  EXPECT_EQ(records_of(last.bytes), (std::vector<Kept>{{0, 500, "b", "1"}}));
  EXPECT_EQ(BatchView::parse(last.bytes)->max_timestamp(), 500);
}

TEST_F(CleanBatch, AnOverwrittenTombstoneGoesAtOnce) {
  map.put(as_bytes("a"), Offset(5));
  auto bytes = std::move(BatchBuilder(Offset(0)).add(600, "a", std::nullopt)).build();
  EXPECT_TRUE(clean(bytes).bytes.empty());
}

TEST_F(CleanBatch, AnEmptiedBatchStaysAsAHeaderWhereItIsNeeded) {
  map.put(as_bytes("a"), Offset(100));
  auto bytes = std::move(BatchBuilder(Offset(10))
                             .codec(Codec::zstd)
                             .producer(ProducerId(7), 3, 40)
                             .add(500, "a", "1")
                             .add(600, "a", "2"))
                   .build();
  EXPECT_TRUE(clean(bytes).bytes.empty());
  auto last_of_shard = clean(bytes, true);
  is_last = [](BatchView batch) { return batch.producer_id() == ProducerId(7); };
  auto last_of_producer = clean(bytes);
  EXPECT_EQ(last_of_shard.bytes, last_of_producer.bytes);
  auto view = parse_intact(last_of_producer.bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->size(), kBatchHeaderSize);
  EXPECT_EQ(view->record_count(), 0);
  EXPECT_EQ(view->base_offset(), Offset(10));
  EXPECT_EQ(view->last_offset(), Offset(11));
  EXPECT_EQ(view->producer_epoch(), 3);
  EXPECT_EQ(view->base_sequence(), 40);
  EXPECT_EQ(view->last_sequence(), 41);
  EXPECT_EQ(view->max_timestamp(), 600);
  EXPECT_EQ(view->base_timestamp(), kNoTimestamp);
  EXPECT_TRUE(records_of(last_of_producer.bytes).empty());
  EXPECT_FALSE(clean(last_of_producer.bytes).changed);
  is_last = nullptr;
  EXPECT_TRUE(clean(last_of_producer.bytes).bytes.empty()) << "a newer batch of the producer has come";
}

TEST_F(CleanBatch, RecordsWithoutAKeyGo) {
  auto bytes = std::move(BatchBuilder(Offset(0)).add(1, std::nullopt, "1").add(2, "a", "2")).build();
  auto out = clean(bytes);
  EXPECT_EQ(out.keyless_removed, 1);
  EXPECT_EQ(records_of(out.bytes), (std::vector<Kept>{{1, 2, "a", "2"}}));
}

TEST_F(CleanBatch, AppendTimesStay) {
  map.put(as_bytes("a"), Offset(1));
  auto bytes = std::move(BatchBuilder(Offset(0)).add(1, "a", "1").add(2, "a", std::nullopt)).build();
  set_append_time(writable(bytes), from_ms(5000));
  auto out = clean(bytes);
  EXPECT_EQ(records_of(out.bytes), (std::vector<Kept>{{1, 5000, "a", "(none)"}}));
  EXPECT_EQ(BatchView::parse(out.bytes)->max_timestamp(), 5000);
}

TEST_F(CleanBatch, TransactionsAndMarkersStayAndDoNotCount) {
  auto data = std::move(BatchBuilder(Offset(0)).producer(ProducerId(1), 0, 0).transactional().add(1, "a", "1")).build();
  auto marker =
      std::move(BatchBuilder(Offset(1)).producer(ProducerId(1), 0, -1).transactional().control().add(1, "k", "v"))
          .build();
  EXPECT_TRUE(*note_keys(*BatchView::parse(data), map));
  EXPECT_TRUE(*note_keys(*BatchView::parse(marker), map));
  EXPECT_EQ(map.size(), 0U);
  map.put(as_bytes("a"), Offset(9));
  map.put(as_bytes("k"), Offset(9));
  EXPECT_FALSE(clean(data).changed);
  EXPECT_FALSE(clean(marker).changed);
}

TEST_F(CleanBatch, AnAgeBeyondAllTimeOverflowsNothing) {
  auto bytes = std::move(BatchBuilder(Offset(0)).add(600, "a", std::nullopt)).build();
  CleanRules rules{map, map_end, now, Duration::max(), {}};
  auto out = clean_batch(bytes, rules, false);
  ASSERT_TRUE(out);
  EXPECT_EQ(records_of(out->bytes), (std::vector<Kept>{{0, 600, "a", "(none)"}}));
}

// --- which shards ----------------------------------------------------------------------------------------------------

ShardDescriptor shard(std::int64_t base, std::int64_t end, Bytes size, std::int64_t newest,
                      ShardState state = ShardState::sealed) {
  ShardDescriptor out;
  out.base = Offset(base);
  out.end = Offset(end);
  out.size = size;
  out.state = state;
  out.archived = state == ShardState::archived;
  out.first_timestamp = newest - 10;
  out.max_timestamp = newest;
  return out;
}

Chain chain_of(std::vector<ShardDescriptor> shards) {
  return *Chain::make({TopicId{{1}}, PartitionId(0)}, std::move(shards));
}

TopicSettings compacted() {
  TopicSettings settings;
  settings.cleanup_policy = {"compact"};
  settings.segment_bytes = 1000;
  return settings;
}

TEST(DecideCompaction, BeginsAboveTheDirtyRatio) {
  auto chain = chain_of({shard(0, 10, 600, 1000), shard(10, 20, 600, 2000), shard(20, 21, 50, 3000, ShardState::open)});
  auto settings = compacted();
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(0), kNow),
            (CompactionWork{Offset(0), Offset(20), 0, 1200}));
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(10), kNow), std::nullopt) << "half is not above half";
  settings.min_cleanable_dirty_ratio = 0.4;
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(10), kNow),
            (CompactionWork{Offset(10), Offset(20), 600, 600}));
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(20), kNow), std::nullopt);
  settings.cleanup_policy = {"delete"};
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(0), kNow), std::nullopt);
  settings.cleanup_policy = {"compact", "delete"};
  EXPECT_NE(decide_compaction(chain, settings, Offset(0), Offset(0), kNow), std::nullopt);
}

TEST(DecideCompaction, LeavesYoungRecordsAndComesInTimeForOldOnes) {
  auto settings = compacted();
  settings.min_compaction_lag = 60s;
  auto chain = chain_of({shard(0, 10, 600, 900'000), shard(10, 20, 600, 950'000)});
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(0), kNow),
            (CompactionWork{Offset(0), Offset(10), 0, 600}));
  settings = compacted();
  settings.min_cleanable_dirty_ratio = 1;
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(10), kNow), std::nullopt);
  settings.max_compaction_lag = 40s;
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(10), kNow),
            (CompactionWork{Offset(10), Offset(20), 600, 600}));
  settings.max_compaction_lag = 60s;
  EXPECT_EQ(decide_compaction(chain, settings, Offset(0), Offset(10), kNow), std::nullopt);
}

TEST(DecideCompaction, StopsAtWhatIsNotSealed) {
  auto chain = chain_of({shard(0, 10, 600, 1000), shard(10, 20, 600, 2000, ShardState::cut)});
  EXPECT_EQ(decide_compaction(chain, compacted(), Offset(0), Offset(0), kNow)->end, Offset(10));
  EXPECT_EQ(decide_compaction(chain, compacted(), Offset(0), Offset(10), kNow), std::nullopt);
}

TEST(CompactionRuns, JoinSmallNeighboursAtOnePlace) {
  auto chain = chain_of({shard(0, 10, 400, 1, ShardState::archived), shard(10, 20, 400, 2, ShardState::archived),
                         shard(20, 30, 400, 3), shard(30, 40, 500, 4), shard(40, 50, 400, 5), shard(50, 60, 1, 6)});
  auto runs = compaction_runs(chain, compacted(), Offset(5), Offset(50));
  std::vector<std::vector<std::int64_t>> bases;
  for (const auto& run : runs) {
    bases.emplace_back();
    for (const auto& each : run) bases.back().push_back(each.base.value());
  }
  EXPECT_EQ(bases, (std::vector<std::vector<std::int64_t>>{{0, 10}, {20, 30}, {40}}));
}

TEST(CompactedShardCutter, AnOpenShardEndsInTimeForMaxCompactionLag) {
  auto settings = compacted();
  settings.max_compaction_lag = 60s;
  auto open = shard(0, 10, 100, 1000, ShardState::open);
  open.created_ms = 1000;
  EXPECT_FALSE(cut_by_age(open, settings, from_ms(61'000)));
  EXPECT_TRUE(cut_by_age(open, settings, from_ms(61'001)));
  settings.cleanup_policy = {"delete"};
  EXPECT_FALSE(cut_by_age(open, settings, from_ms(61'001)));
}

// --- merging ---------------------------------------------------------------------------------------------------------

std::vector<ShardDescriptor> small_ones(int count, std::int64_t apart_ms = 1000) {
  std::vector<ShardDescriptor> out;
  for (int i = 0; i < count; ++i) out.push_back(shard(i * 10, i * 10 + 10, 50, 10 + i * apart_ms));
  return out;
}

std::string range(const std::vector<ShardDescriptor>& run) {
  if (run.empty()) return "none";
  return std::to_string(run.front().base.value()) + ".." + std::to_string(run.back().end.value());
}

TEST(MergeRun, TakesEnoughSmallNeighbours) {
  TopicSettings settings;
  settings.segment_bytes = 1000;
  EXPECT_EQ(range(merge_run(chain_of(small_ones(3)), settings, Offset(0), 4)), "none");
  EXPECT_EQ(range(merge_run(chain_of(small_ones(6)), settings, Offset(0), 4)), "0..60");
  EXPECT_EQ(range(merge_run(chain_of(small_ones(30)), settings, Offset(0), 4)), "0..200") << "within segment.bytes";
  EXPECT_EQ(range(merge_run(chain_of(small_ones(6)), settings, Offset(5), 4)), "10..60") << "not what is being deleted";
  EXPECT_EQ(range(merge_run(chain_of(small_ones(6)), settings, Offset(0), 0)), "none");
  settings.cleanup_policy = {"compact"};
  EXPECT_EQ(range(merge_run(chain_of(small_ones(6)), settings, Offset(0), 4)), "none");
}

TEST(MergeRun, WritesALargeOneAgainOnlyWithAsMuchBesideIt) {
  TopicSettings settings;
  settings.segment_bytes = 1000;
  auto shards = small_ones(6);
  shards.front().size = 300;
  EXPECT_EQ(range(merge_run(chain_of(shards), settings, Offset(0), 4)), "10..60");
  shards.front().size = 250;
  EXPECT_EQ(range(merge_run(chain_of(shards), settings, Offset(0), 4)), "0..60");
  shards.front().size = 501;
  EXPECT_EQ(range(merge_run(chain_of(shards), settings, Offset(0), 6)), "none");
}

TEST(MergeRun, HoldsRetentionBackNoLongerThanASixteenth) {
  TopicSettings settings;
  settings.segment_bytes = 1 << 20;
  settings.segment_age = 1s;
  settings.retention = 160s;
  EXPECT_EQ(range(merge_run(chain_of(small_ones(30)), settings, Offset(0), 4)), "0..100");
  settings.retention = -1ms;
  EXPECT_EQ(range(merge_run(chain_of(small_ones(30)), settings, Offset(0), 4)), "0..300");
}

TEST(MergeRun, LeavesToTheArchiverWhatItWillTake) {
  TopicSettings settings;
  settings.segment_bytes = 1000;
  settings.remote_storage = true;
  auto shards = small_ones(6);
  EXPECT_EQ(range(merge_run(chain_of(shards), settings, Offset(0), 3)), "none");
  for (int i = 0; i < 4; ++i)
    shards[static_cast<std::size_t>(i)].state = ShardState::archived,
    shards[static_cast<std::size_t>(i)].archived = true;
  EXPECT_EQ(range(merge_run(chain_of(shards), settings, Offset(0), 3)), "0..40");
}

}  // namespace
}  // namespace forelog::log
