// The fuzz target over inputs that are made here, so that every test run exercises it; inputs that once failed are
// added by hand.
#include "broker/env/simulated/seeded_random.h"
#include "tests/fuzz/wire_fuzz.cc"  // NOLINT: the target has no header, and needs none

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

void run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());  // NOLINT
}

TEST(WireFuzz, DamagedMessagesOfEveryForm) {
  env::SeededRandom random(4);
  const auto& forms = every_form();
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

TEST(WireFuzz, Noise) {
  env::SeededRandom random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string input(random.below(64), '\0');
    for (char& c : input) c = static_cast<char>(random.next() & (i % 2 == 0 ? 0xff : 0x03));
    run(input);
  }
}

}  // namespace
}  // namespace forelog::wire
