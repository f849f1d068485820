// What other programs leave in our directories is not taken for ours.
#include "broker/log/recovery.h"
#include "broker/log/wal_format.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

TEST(FileNames, OfTheWriteAheadLogAreReadAsTheyAreWritten) {
  EXPECT_EQ(parse_wal_file_name(wal_file_name(42)), 42);
  EXPECT_EQ(parse_wal_file_name(wal_file_name(INT64_MAX)), INT64_MAX);
  // Found as file 7 it would be opened as wal-000000000007, and the broker would not start.
  for (const char* name :
       {"wal-7", "wal-0000000000007", "wal-00000000007", "wal-", "wal-00000000000a", "wal--00000000007"})
    EXPECT_EQ(parse_wal_file_name(name), std::nullopt) << name;
}

TEST(FileNames, OfSegmentsAreReadAsTheyAreWritten) {
  auto good = parse_segment_name("00000000000000000100.3.log");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->base, Offset(100));
  EXPECT_EQ(good->generation, Generation(3));
  for (const char* name : {"00000000000000000100.03.log", "00000000000000000100..log", "00000000000000000100.3.log.bak",
                           "0000000000000000010a.3.log", "-0000000000000000100.3.log", "100.3.log"})
    EXPECT_FALSE(parse_segment_name(name)) << name;
}

}  // namespace
}  // namespace forelog::log
