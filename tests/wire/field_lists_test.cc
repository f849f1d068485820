// Round trips cannot see a field that moved or changed its type on both sides. The expected lists beside this file can:
// they were compared with Kafka's own schemas by check_schemas.py, which is to be run again when they change.
#include "tests/wire/field_lists.h"

#include "tests/wire/every_message.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

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
  std::ifstream expected(path);
  ASSERT_TRUE(expected) << path << ": run from the top folder";
  std::istringstream actual(lists);
  std::string message;
  int number = 0;
  for (std::string ours, theirs; std::getline(actual, ours);) {
    ++number;
    ASSERT_TRUE(std::getline(expected, theirs)) << path << " ends before: " << ours;
    if (ours.front() != ' ') message = ours;
    ASSERT_EQ(ours, theirs) << path << ":" << number << ", in " << message;
  }
  std::string rest;
  ASSERT_FALSE(std::getline(expected, rest)) << path << " goes on: " << rest;
}

}  // namespace
}  // namespace forelog::wire
