// fuzz.h: what a fuzz target is made of.
//
//   FUZZ_TARGET(wire) { … `input`: any bytes … }
//
// A target must return, whatever the input: it may CHECK what has to hold, and the sanitizers see the rest. MODE=fuzz
// makes each a libFuzzer program of its own; tests/fuzz/corpus_test.cc runs all of them over the checked-in corpora.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/check.h"
#include "broker/env/random.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>

namespace forelog::fuzz {

using Run = void (*)(ByteView input);
// Changes the input of `size` bytes in place, to at most `size_max` bytes; yields the new size.
using Mutate = std::size_t (*)(MutableByteView room, std::size_t size, std::uint32_t seed);

struct Target {
  std::string_view name;
  Run run = nullptr;
  Mutate mutate = nullptr;  // none: libFuzzer's own
};
// Those that this program is linked with.
std::vector<Target>& targets();

struct Registration {
  explicit Registration(Target target) { targets().push_back(target); }
};

// Called once no more input comes for this target: by the test over the corpora after each target, else at exit.
void at_end(void (*finish)());
void end_target();

// What this thread has allocated since it was made: nothing may be believed of a claimed length. Counts only under
// AddressSanitizer, whose allocator tells.
class AllocationMeter {
 public:
  AllocationMeter();
  std::size_t largest() const;  // of one allocation
  // CHECKs that no allocation was larger than what `input` bytes can justify.
  void expect_bounded(std::size_t input) const;
};

// libFuzzer's own mutations; outside MODE=fuzz, damage to one byte.
std::size_t mutate_bytes(MutableByteView room, std::size_t size, env::Random& random);

// Takes decisions off an input: numbers from its end, bytes from its front, zeroes once it is used up.
class Decisions : public FuzzedDataProvider {
 public:
  explicit Decisions(ByteView input)
      : FuzzedDataProvider(reinterpret_cast<const std::uint8_t*>(input.data()), input.size()) {}  // NOLINT: bytes

  bool one_in(std::uint32_t n) { return ConsumeIntegralInRange<std::uint32_t>(1, n) == n; }
  template <class T>
  T any() {
    return ConsumeIntegral<T>();
  }
  template <class T>
  T between(T min, T max) {
    return ConsumeIntegralInRange<T>(min, max);
  }
  std::string text(std::size_t size_max) { return ConsumeRandomLengthString(size_max); }
  Buffer bytes(std::size_t size_max) { return Buffer::take(text(size_max)); }
  Buffer rest() { return Buffer::take(ConsumeRemainingBytesAsString()); }
};

}  // namespace forelog::fuzz

#ifdef FORELOG_FUZZ
#define FORELOG_FUZZ_ENTRY(name)                                                                 \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {            \
    ::forelog::fuzz::fuzz_##name({reinterpret_cast<const std::byte*>(data), size}); /* NOLINT */ \
    return 0;                                                                                    \
  }
#define FORELOG_FUZZ_MUTATOR_ENTRY(name)                                                                     \
  extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t size_max, \
                                                 unsigned int seed) {                                        \
    return ::forelog::fuzz::mutate_##name({reinterpret_cast<std::byte*>(data), size_max}, size,              \
                                          static_cast<std::uint32_t>(seed)); /* NOLINT */                    \
  }
#else
#define FORELOG_FUZZ_ENTRY(name)
#define FORELOG_FUZZ_MUTATOR_ENTRY(name)
#endif

#define FUZZ_TARGET(name)                                                         \
  namespace forelog::fuzz {                                                       \
  void fuzz_##name(ByteView input);                                               \
  static const Registration registration_##name{Target{#name, &fuzz_##name, {}}}; \
  }                                                                               \
  FORELOG_FUZZ_ENTRY(name)                                                        \
  void forelog::fuzz::fuzz_##name([[maybe_unused]] ByteView input)

// A target with a mutator that knows its structure: std::size_t mutate_NAME(MutableByteView, std::size_t,
// std::uint32_t) in forelog::fuzz, declared before this.
#define FUZZ_TARGET_WITH_MUTATOR(name)                                                        \
  namespace forelog::fuzz {                                                                   \
  void fuzz_##name(ByteView input);                                                           \
  static const Registration registration_##name{Target{#name, &fuzz_##name, &mutate_##name}}; \
  }                                                                                           \
  FORELOG_FUZZ_ENTRY(name)                                                                    \
  FORELOG_FUZZ_MUTATOR_ENTRY(name)                                                            \
  void forelog::fuzz::fuzz_##name([[maybe_unused]] ByteView input)
