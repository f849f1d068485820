#include "broker/replication/producer_table.h"

#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch_builder.h"

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

}  // namespace
}  // namespace forelog::replication
