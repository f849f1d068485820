// block_memory.h: memory for blocks of kBlockSize bytes, in slabs of eight that the process keeps and uses again.
//
// The C library gives what has become free at the end of its heap back to the system and takes it anew: each block that
// came from the archive then cost 64 page faults, a third of the CPU of a cold replay. A block here takes the place of
// another and finds its pages there.
//
// Any thread may call. A slab goes back to the system once all of its blocks are free, but for a few kept for those
// that come next; free blocks of the lowest slab are taken first, so that slabs do empty.
#pragma once

#include "broker/base/limits.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>

namespace forelog {

class BlockMemory {
 public:
  static constexpr std::size_t kBlocks = 8;  // a slab

  // `spare_slabs`: how many wholly free slabs are kept.
  explicit BlockMemory(std::size_t spare_slabs = 8) : spare_slabs_(spare_slabs) {}
  ~BlockMemory();  // every block has been given back
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  // That of the process, which outlives every buffer.
  static BlockMemory& shared();

  // kBlockSize bytes with undefined contents, at the beginning of a page. Throws std::bad_alloc when the system has
  // none.
  std::byte* take();
  void give_back(std::byte* block) noexcept;

  std::size_t slabs() const;
  std::size_t blocks() const;  // taken

 private:
  using FreeBlocks = std::uint8_t;  // a bit each
  static constexpr FreeBlocks kAllFree = (1 << kBlocks) - 1;

  mutable std::mutex mutex_;
  std::size_t spare_slabs_;
  std::map<std::byte*, FreeBlocks> slabs_;  // by where they begin
  std::set<std::byte*> with_room_;          // slabs with a free block
  std::size_t wholly_free_ = 0;
  std::size_t blocks_ = 0;
};

}  // namespace forelog
