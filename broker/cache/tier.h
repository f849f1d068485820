// tier.h: a tier of the cache behind memory.
//
// Any core may call. A tier is only ever a shortcut: it may have a block or not, it never has another's bytes, and
// nothing that it does delays whoever gave it something.
#pragma once

#include "broker/base/result.h"
#include "broker/cache/block.h"
#include "broker/env/task.h"

#include <functional>

namespace forelog::cache {

class Tier {
 public:
  // Takes one whole, verified block. Called on the core that asked.
  using OnBlock = std::move_only_function<void(std::uint32_t index, Buffer bytes)>;
  virtual ~Tier() = default;

  // Hands out those blocks of `range` that it has, in order. What it cannot read, what fails its checksum, or what is
  // not as `sums` say, it does not have: a tier may outlive the log and meet a restored one, which has given the same
  // names to other bytes.
  virtual Task<void> find(BlockRange range, BlockSums sums, OnBlock on_block) = 0;

  // A reader uses this block, for the first time since it came into memory. Kept or not, as the tier sees fit.
  virtual void on_use(const BlockId& id, Buffer bytes) = 0;

  // Write-through: to be kept. True once it is held, false when the tier cannot take it now, or not by `deadline`.
  virtual Task<bool> put(BlockId id, Buffer bytes, Deadline deadline) = 0;
  // The shard that was written through under a provisional generation is sealed: its blocks are those of `generation`
  // from here on, where the checksums agree.
  virtual void link(const ShardId& provisional, Generation generation, BlockSums sums) = 0;

  // The shard is gone, or nobody will ask for these.
  virtual void erase(BlockRange range) = 0;
};

}  // namespace forelog::cache
