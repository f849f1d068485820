#include "broker/base/block_memory.h"

#include "broker/base/check.h"

#include <bit>
#include <new>

#include <sys/mman.h>

#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace forelog {
namespace {

constexpr auto kSlabSize = static_cast<std::size_t>(kBlockSize) * BlockMemory::kBlocks;

std::byte* map_slab() {
  auto* slab = ::mmap(nullptr, kSlabSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (slab == MAP_FAILED) throw std::bad_alloc();
  ASAN_POISON_MEMORY_REGION(slab, kSlabSize);
  return static_cast<std::byte*>(slab);
}

void unmap_slab(std::byte* slab) {
  ASAN_UNPOISON_MEMORY_REGION(slab, kSlabSize);
  ::munmap(slab, kSlabSize);
}

}  // namespace

BlockMemory& BlockMemory::shared() {
  static auto& memory = *new BlockMemory;  // never destroyed: buffers of other static objects may outlast it
  return memory;
}

BlockMemory::~BlockMemory() {
  CHECK(blocks_ == 0, "a block outlives its memory");
  for (const auto& [slab, free] : slabs_) unmap_slab(slab);
}

std::byte* BlockMemory::take() {
  std::lock_guard lock(mutex_);
  if (with_room_.empty()) {
    auto* slab = map_slab();
    slabs_.emplace(slab, kAllFree);
    with_room_.insert(slab);
    ++wholly_free_;
  }
  auto* slab = *with_room_.begin();
  auto& free = slabs_.at(slab);
  if (free == kAllFree) --wholly_free_;
  auto index = std::countr_zero(free);
  free = static_cast<FreeBlocks>(free & (free - 1));
  if (free == 0) with_room_.erase(slab);
  ++blocks_;
  auto* block = slab + index * kBlockSize;
  ASAN_UNPOISON_MEMORY_REGION(block, kBlockSize);
  return block;
}

void BlockMemory::give_back(std::byte* block) noexcept {
  std::lock_guard lock(mutex_);
  auto found = slabs_.upper_bound(block);
  CHECK(found != slabs_.begin(), "not a taken block");
  auto& [slab, free] = *--found;
  auto offset = static_cast<std::size_t>(block - slab);
  CHECK(offset < kSlabSize && offset % kBlockSize == 0, "not a taken block");
  auto bit = static_cast<FreeBlocks>(1 << (offset / kBlockSize));
  CHECK((free & bit) == 0, "not a taken block");
  ASAN_POISON_MEMORY_REGION(block, kBlockSize);
  --blocks_;
  if (free == 0) with_room_.insert(slab);
  free = static_cast<FreeBlocks>(free | bit);
  if (free != kAllFree) return;
  if (wholly_free_ < spare_slabs_) {
    ++wholly_free_;
    return;
  }
  with_room_.erase(slab);
  unmap_slab(slab);
  slabs_.erase(found);
}

std::size_t BlockMemory::slabs() const {
  std::lock_guard lock(mutex_);
  return slabs_.size();
}

std::size_t BlockMemory::blocks() const {
  std::lock_guard lock(mutex_);
  return blocks_;
}

}  // namespace forelog
