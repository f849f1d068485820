// Round trips cannot see a field that moved or changed its type on both sides. The expected lists beside this file can:
// they were compared with Kafka's own schemas by check_schemas.py, which is to be run again when they change.
#include "tests/wire/field_lists.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

TEST(FieldLists, AreThoseThatWereComparedWithKafkasSchemas) {
  const std::string path = "tests/wire/field_lists.txt";
  const std::string lists = field_lists();
  if (std::getenv("UPDATE") != nullptr) {
    std::ofstream(path) << lists;
    GTEST_SKIP() << path << " is rewritten; now run tests/wire/check_schemas.py";
  }
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << ": run from the top folder";
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(lists, expected.str());
}

}  // namespace
}  // namespace forelog::wire
