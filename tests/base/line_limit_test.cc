#include "broker/base/line_limit.h"

#include <gtest/gtest.h>

namespace forelog {
namespace {

TEST(LineLimit, WritesSomeASecondAndTellsHowManyItLeftOut) {
  LineLimit limit(2);
  Instant now(100s);
  EXPECT_EQ(limit.allow(now), 0);
  EXPECT_EQ(limit.allow(now + 1ms), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(limit.allow(now + 2ms), std::nullopt);
  EXPECT_EQ(limit.allow(now + 1s), 7);
  EXPECT_EQ(limit.allow(now + 1s), 0);
  EXPECT_EQ(limit.allow(now + 1999ms), std::nullopt);
  EXPECT_EQ(limit.allow(now + 1h), 1);
}

}  // namespace
}  // namespace forelog
