// The wire target over messages of every form, made here and damaged, so that each test run meets all of them.
#include "broker/env/simulated/seeded_random.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire/every_message.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

namespace forelog::fuzz {
namespace {

void run(const std::string& input) {
  auto wire = std::find_if(targets().begin(), targets().end(), [](const Target& one) { return one.name == "wire"; });
  ASSERT_NE(wire, targets().end());
  wire->run(as_bytes(input));
}

TEST(WireTarget, DamagedMessagesOfEveryForm) {
  env::SeededRandom random(4);
  const auto& forms = wire::every_form();
  for (std::size_t index = 0; index < forms.size(); ++index) {
    const std::string prefix = {static_cast<char>(index >> 8), static_cast<char>(index)};
    for (int i = 0; i < 10; ++i) {
      std::string input = prefix + std::string(forms[index].make_random(forms[index], random).bytes.text());
      run(input);
      for (int damage = 0; damage < 4 && input.size() > 2; ++damage) {
        input[2 + random.below(input.size() - 2)] = static_cast<char>(random.next());
        run(input);
      }
    }
  }
}

TEST(WireTarget, Noise) {
  env::SeededRandom random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string input(random.below(64), '\0');
    for (char& c : input) c = static_cast<char>(random.next() & (i % 2 == 0 ? 0xff : 0x03));
    run(input);
  }
}

}  // namespace
}  // namespace forelog::fuzz
