#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/allocator_interface.h>
#define FORELOG_ALLOCATIONS_ARE_SEEN
#endif

#ifdef FORELOG_FUZZ
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max);
#endif

namespace forelog::fuzz {
namespace {

// Code of libraries may take a buffer of this size whatever it is given: deflate's window, zstd's context.
constexpr std::size_t kFreeSize = 512 << 10;
// In memory things are larger than on the wire: an empty string of two bytes is a std::string of 32.
constexpr std::size_t kGrowth = 256;

thread_local std::size_t largest_allocation = 0;

#ifdef FORELOG_ALLOCATIONS_ARE_SEEN
void note_allocation(const volatile void*, std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
}
void note_free(const volatile void*) {}
const int kHooked = __sanitizer_install_malloc_and_free_hooks(&note_allocation, &note_free);
#endif

}  // namespace

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

namespace {
void (*finish_target)() = nullptr;
}

void at_end(void (*finish)()) {
  static const bool kAtExit = std::atexit(&end_target) == 0;
  CHECK(kAtExit);
  finish_target = finish;
}
void end_target() {
  if (auto finish = std::exchange(finish_target, nullptr)) finish();
}

AllocationMeter::AllocationMeter() {
#ifdef FORELOG_ALLOCATIONS_ARE_SEEN
  CHECK(kHooked > 0);
#endif
  largest_allocation = 0;
}
std::size_t AllocationMeter::largest() const { return largest_allocation; }
void AllocationMeter::expect_bounded(std::size_t input) const {
  CHECK(largest() <= kFreeSize + kGrowth * input, "memory was taken because the input claimed a length");
}

std::size_t mutate_bytes(MutableByteView room, std::size_t size, [[maybe_unused]] env::Random& random) {
#ifdef FORELOG_FUZZ
  return LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(room.data()), size, room.size());  // NOLINT: bytes
#else
  if (size > 0) room[random.below(size)] = static_cast<std::byte>(random.next());
  return size;
#endif
}

}  // namespace forelog::fuzz
