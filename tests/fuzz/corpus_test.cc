// Every fuzz target over its checked-in corpus, and over damaged copies of it: what once failed stays mended, and a
// decoder that grows careless is seen without a fuzzer.
#include "broker/base/log.h"
#include "broker/env/simulated/seeded_random.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

namespace forelog::fuzz {
namespace {

std::vector<std::string> corpus_of(std::string_view target) {
  std::vector<std::filesystem::path> paths;
  auto directory = std::filesystem::path("tests/fuzz/corpus") / target;
  if (std::filesystem::exists(directory)) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream in(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Corpus : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override { set_log_level(error); }
  void TearDown() override { end_target(); }
  // A copy of its own, so that a read past the end is seen.
  static void run(std::string_view input) {
    auto copy = Buffer::copy_of(input);
    GetParam().run(copy.view());
  }
};

TEST_P(Corpus, IsSurvived) {
  auto inputs = corpus_of(GetParam().name);
  ASSERT_FALSE(inputs.empty()) << "tests/fuzz/corpus/" << GetParam().name << " is missing";
  for (const auto& input : inputs) run(input);
}

TEST_P(Corpus, DamagedIsSurvived) {
  env::SeededRandom random(11);
  for (const auto& input : corpus_of(GetParam().name)) {
    auto damaged = input;
    for (int i = 0; i < 3 && !damaged.empty(); ++i) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.next());
      run(damaged);
    }
    run(std::string_view(damaged).substr(0, random.below(damaged.size() + 1)));
  }
}

TEST_P(Corpus, MutatedIsSurvived) {
  if (GetParam().mutate == nullptr) return;  // libFuzzer's own mutations are damage enough
  env::SeededRandom random(12);
  std::vector<std::byte> room(4096);
  for (const auto& input : corpus_of(GetParam().name)) {
    auto size = std::min(input.size(), room.size());
    std::memcpy(room.data(), input.data(), size);
    for (int i = 0; i < 3; ++i) {
      size = GetParam().mutate(room, size, static_cast<std::uint32_t>(random.next()));
      ASSERT_LE(size, room.size());
      run(as_text(ByteView(room).first(size)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(targets()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace forelog::fuzz
