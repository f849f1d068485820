#include "broker/env/real/system_random.h"

#include "broker/base/check.h"

#include <array>

#include <sys/random.h>

namespace forelog::env {

std::uint64_t SystemRandom::next() {
  // One system call for many numbers; up to 256 bytes come whole or not at all.
  thread_local std::array<std::uint64_t, 32> drawn;
  thread_local std::size_t used = drawn.size();
  if (used == drawn.size()) {
    CHECK(::getrandom(drawn.data(), sizeof(drawn), 0) == sizeof(drawn));
    used = 0;
  }
  return drawn[used++];
}

}  // namespace forelog::env
