// Plays every story of tests/groups/stories; UPDATE=1 rewrites what came of it.
#include "tests/groups/story.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace forelog::groups {
namespace {

class Stories : public testing::TestWithParam<std::string> {};

TEST_P(Stories, EndAsTold) {
  std::ifstream in(GetParam());
  std::ostringstream told;
  std::ostringstream happened;
  Story story;
  for (std::string line; std::getline(in, line);) {
    told << line << "\n";
    if (line.starts_with("  ")) continue;
    happened << line << "\n";
    if (!line.empty() && !line.starts_with("#")) happened << story.play(line);
  }
  ASSERT_FALSE(told.str().empty());
  const char* update = std::getenv("UPDATE");
  if (update != nullptr && std::string_view(update) == "1") std::ofstream(GetParam()) << happened.str();
  EXPECT_EQ(told.str(), happened.str());
}

std::vector<std::string> story_paths() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/groups/stories")) {
    paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

INSTANTIATE_TEST_SUITE_P(All, Stories, testing::ValuesIn(story_paths()),
                         [](const auto& story) { return std::filesystem::path(story.param).stem().string(); });

}  // namespace
}  // namespace forelog::groups
