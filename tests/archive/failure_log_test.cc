#include "broker/archive/failure_log.h"

#include "broker/base/log.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::archive {
namespace {

class FailureLogTest : public testing::Test {
 protected:
  FailureLogTest() {
    set_log_sink([this](LogLevel, std::string_view line) { lines.emplace_back(line); });
  }
  ~FailureLogTest() override { set_log_sink({}); }

  void note(std::int64_t shard, ErrorCode code, Duration at) {
    log.note({PartitionKey{}, Offset(shard), Generation(0)}, {code, "block 7"}, Instant(at));
  }

  FailureLog log;
  std::vector<std::string> lines;
};

TEST_F(FailureLogTest, NamesARottenShardOnceAMinute) {
  for (int i = 0; i < 100; ++i) note(1000, ErrorCode::kCorruptBlock, i * 10ms);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("@1000.0"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("block 7"), std::string::npos) << lines[0];
  note(2000, ErrorCode::kNotFound, 1s);
  ASSERT_EQ(lines.size(), 2U) << "another shard is named at once";
  EXPECT_NE(lines[1].find("left_out=99"), std::string::npos) << lines[1];
  note(1000, ErrorCode::kCorruptBlock, 61s);
  EXPECT_EQ(lines.size(), 3U);
}

TEST_F(FailureLogTest, AnArchiveThatIsAwayCostsALineASecond) {
  for (int i = 0; i < 5000; ++i) note(i, ErrorCode::kTimeout, i * 1ms);
  EXPECT_EQ(lines.size(), 5U);
  note(1, ErrorCode::kCorruptBlock, 5s);
  EXPECT_EQ(lines.size(), 6U) << "a rotten shard is named meanwhile";
}

TEST_F(FailureLogTest, StoppingIsNoFailure) {
  note(1, ErrorCode::kStopping, 0s);
  EXPECT_TRUE(lines.empty());
}

}  // namespace
}  // namespace forelog::archive
