// Truncations that fail, are interrupted, or are followed by appends that the write-ahead log does not have.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;

class TruncationTest : public test::StorageTest {};

TEST_F(TruncationTest, OneThatFailsLeavesTheProducersAsTheyWere) {
  start();
  for (const auto* text : {"a", "b", "c"}) append(batch_of(text));
  ASSERT_TRUE(run_here(log().checkpoint()));
  machine->faults().disk_error_rate = 1;
  EXPECT_FALSE(run_here(log().truncate_to(Offset(1))));
  machine->faults().disk_error_rate = 0;
  EXPECT_EQ(log().end(), Offset(3));
  EXPECT_EQ(storage->observers[0].records, 3);
  stop();
}

}  // namespace
}  // namespace forelog::log
