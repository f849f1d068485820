#include "broker/replication/producer_table.h"

#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch_builder.h"
#include "broker/replication/producer_budget.h"
#include "tests/support/golden.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

class ProducerTableTest : public testing::Test {
 protected:
  Buffer batch(int epoch, std::int32_t sequence, int records, std::int64_t timestamp = 1000, int producer = 1) {
    log::BatchBuilder builder(Offset{end_});
    for (int i = 0; i < records; ++i) builder.add(timestamp, "k", "v");
    builder.producer(ProducerId(producer), static_cast<std::int16_t>(epoch), sequence);
    return std::move(builder).build();
  }
  // "append", "duplicate of <offset>", or the error; appends when it may.
  std::string produce(int epoch, std::int32_t sequence, int records, std::int64_t timestamp = 1000, int producer = 1) {
    auto bytes = batch(epoch, sequence, records, timestamp, producer);
    auto view = *log::BatchView::parse(bytes);
    auto answer = table_.check(view);
    if (!answer) return std::string(name_of(answer.error().code));
    if (*answer)
      return "duplicate of " + std::to_string((*answer)->base.value()) + " at " + std::to_string((*answer)->timestamp);
    table_.add(view);
    end_ += records;
    return "append";
  }
  ProducerTable table_;
  std::int64_t end_ = 0;
};

TEST_F(ProducerTableTest, SequencesMustFollow) {
  EXPECT_EQ(produce(0, 0, 3), "append");
  EXPECT_EQ(produce(0, 3, 2), "append");
  EXPECT_EQ(produce(0, 6, 1), "OutOfOrderSequence");
  EXPECT_EQ(produce(0, 4, 1), "OutOfOrderSequence") << "part of a batch is no duplicate";
  EXPECT_EQ(produce(0, 5, 1), "append");
}

TEST_F(ProducerTableTest, OneOfTheLastFiveBatchesIsAnsweredWithItsOffset) {
  for (int i = 0; i < 6; ++i) EXPECT_EQ(produce(0, 2 * i, 2, 1000 + i), "append");
  EXPECT_EQ(produce(0, 2, 2), "duplicate of 2 at 1001");
  EXPECT_EQ(produce(0, 10, 2), "duplicate of 10 at 1005");
  EXPECT_EQ(produce(0, 0, 2), "OutOfOrderSequence") << "older than five batches";
}

TEST_F(ProducerTableTest, NewEpochBeginsWithZeroAndFencesTheOld) {
  EXPECT_EQ(produce(1, 0, 5), "append");
  EXPECT_EQ(produce(2, 5, 1), "OutOfOrderSequence");
  EXPECT_EQ(produce(2, 0, 5), "append") << "same sequences, other epoch: no duplicate";
  EXPECT_EQ(produce(1, 5, 1), "InvalidProducerEpoch");
}

TEST_F(ProducerTableTest, UnknownProducerMayBeginAnywhere) { EXPECT_EQ(produce(3, 17, 1), "append"); }

TEST_F(ProducerTableTest, SequenceWrapsToZero) {
  EXPECT_EQ(produce(0, INT32_MAX - 1, 2), "append");
  EXPECT_EQ(produce(0, 0, 1), "append");
  EXPECT_EQ(produce(0, INT32_MAX - 1, 2), "duplicate of 0 at 1000");
}

TEST_F(ProducerTableTest, SequenceWrapsInsideABatch) {
  EXPECT_EQ(produce(0, INT32_MAX, 3), "append");
  EXPECT_EQ(produce(0, 2, 1), "append");
}

TEST_F(ProducerTableTest, IdleProducersGoByTheLogsOwnClock) {
  produce(0, 0, 1, 1000, 1);
  produce(0, 0, 1, 5000, 2);
  produce(0, 0, 1, 100, 3);  // old data, appended just now
  table_.expire(4s);
  EXPECT_EQ(table_.size(), 3U);
  table_.expire(3s);
  EXPECT_EQ(table_.size(), 2U);
  EXPECT_EQ(produce(0, 1, 1, 5000, 3), "append");
}

TEST_F(ProducerTableTest, SnapshotRestoresTheSameTable) {
  for (int p = 1; p < 20; ++p) {
    for (int i = 0; i < p % 7 + 1; ++i) produce(0, i, 1, 1000 + i, p);
  }
  auto snapshot = table_.snapshot();
  auto restored = ProducerTable::restore(snapshot);
  ASSERT_TRUE(restored.has_value());
  EXPECT_EQ(restored->snapshot(), snapshot);
  table_ = *std::move(restored);
  EXPECT_EQ(produce(0, 1, 1, 1000, 2), "duplicate of 3 at 1001");
  EXPECT_EQ(ProducerTable::restore({})->size(), 0U);
}

TEST_F(ProducerTableTest, HostileSnapshotsAreRefusedWithoutHarm) {
  for (int p = 1; p < 5; ++p) produce(0, 0, 1, 1000, p);
  auto snapshot = table_.snapshot();
  env::SeededRandom random(1);
  for (std::size_t size = 1; size < snapshot.size(); ++size) {
    EXPECT_FALSE(ProducerTable::restore(snapshot.slice(0, size)).has_value());
  }
  for (int round = 0; round < 5000; ++round) {
    std::string bytes(snapshot.text());
    bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    auto restored = ProducerTable::restore(as_bytes(bytes));
    if (restored) EXPECT_EQ(restored->size(), 4U);
  }
}

TEST_F(ProducerTableTest, TheLongestSilentGoWhenThereAreTooMany) {
  for (int i = 1; i <= 10; ++i) EXPECT_EQ(produce(0, 0, 1, 1000 * i, i), "append");
  EXPECT_EQ(produce(0, 1, 1, 20'000, 2), "append") << "the second is the newest now";
  EXPECT_EQ(table_.evict_to(20), 0U);
  EXPECT_EQ(table_.evict_to(3), 7U);
  std::vector<std::int64_t> left;
  for (const auto& state : table_.list()) left.push_back(state.id.value());
  EXPECT_EQ(left, (std::vector<std::int64_t>{2, 9, 10}));
  EXPECT_EQ(produce(0, 5, 1, 21'000, 1), "append") << "one that is forgotten begins anew, wherever it stands";
  EXPECT_EQ(produce(0, 7, 1, 21'000, 2), "OutOfOrderSequence") << "one that is not goes on";
}

TEST_F(ProducerTableTest, ASnapshotOfVersion1StaysReadable) {
  EXPECT_EQ(produce(3, 0, 2, 1000, 7), "append");
  EXPECT_EQ(produce(3, 2, 1, 1500, 7), "append");
  EXPECT_EQ(produce(0, 0, 1, 2000, 9), "append");
  auto written = std::string(table_.snapshot().text());
  auto stored = forelog::test::golden("producer_snapshot_v1", written);
  EXPECT_EQ(stored, written);
  auto read = ProducerTable::restore(as_bytes(stored));
  ASSERT_TRUE(read);
  ASSERT_EQ(read->list().size(), 2U);
  EXPECT_EQ(read->list()[0].epoch, 3);
  EXPECT_EQ(read->list()[0].last_sequence, 2);
  stored[0] = 2;
  auto newer = ProducerTable::restore(as_bytes(stored));
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().text().find("start the release that wrote it, or a newer one"), std::string::npos)
      << newer.error().text();
}

class ProducerBudgetTest : public ProducerTableTest {
 protected:
  void add(ProducerTable& table, int producer) {
    auto before = table.size();
    auto bytes = batch(0, 0, 1, clock_++, producer);
    table.add(*log::BatchView::parse(bytes));
    budget_.changed(table, before);
  }
  std::int64_t counted() {
    MetricsSnapshot snapshot;
    registry_.collect(snapshot);
    return snapshot[{"forelog_producers", ""}].value;
  }
  MetricsRegistry registry_;
  ProducerBudget budget_{registry_, 100, 250};
  std::int64_t clock_ = 1;
};

TEST_F(ProducerBudgetTest, APartitionAndACoreStayWithinTheirBounds) {
  ProducerTable first, second, third;
  for (auto* table : {&first, &second, &third}) budget_.attach(*table);
  for (int i = 0; i < 1000; ++i) {
    add(first, i);
    EXPECT_LE(first.size(), 100U);
  }
  EXPECT_GT(first.size(), 80U);
  EXPECT_EQ(first.list().back().id, ProducerId(999)) << "the newest stays";
  for (int i = 0; i < 90; ++i) add(second, i);
  for (int i = 0; i < 90; ++i) {
    add(third, i);
    EXPECT_LE(first.size() + second.size() + third.size(), 250U);
  }
  EXPECT_EQ(third.size(), 90U) << "the largest gives way";
  EXPECT_EQ(counted(), static_cast<std::int64_t>(first.size() + second.size() + third.size()));
  for (auto* table : {&first, &second, &third}) budget_.detach(*table);
  EXPECT_EQ(counted(), 0);
}

}  // namespace
}  // namespace forelog::replication
