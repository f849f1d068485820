// block_source.h: where a miss is loaded from.
#pragma once

#include "broker/base/result.h"
#include "broker/cache/block.h"
#include "broker/env/task.h"

#include <functional>
#include <memory>

namespace forelog::cache {

enum class Priority : std::uint8_t { prefetch, demand };

// The priority of a load in flight. The cache raises it when a reader joins a prefetch; the source looks at it when it
// decides whether to spend a second request on a slow answer.
using LoadPriority = std::shared_ptr<const Priority>;

class BlockSource {
 public:
  // Takes one whole, verified block. Called on the core that asked, in any order, at most once a block.
  using OnBlock = std::move_only_function<void(std::uint32_t index, Buffer bytes)>;
  virtual ~BlockSource() = default;

  // Loads `range`, at most kExtentSizeMax, handing out each block as soon as it is whole and verified. On failure,
  // blocks handed out before stand. Retries inside, until `deadline`. A range past the shard's last block fails with
  // NotFound.
  virtual Task<Result<void>> load(BlockRange range, LoadPriority priority, OnBlock on_block, Deadline deadline) = 0;

  // What another copy of the shard's blocks is to be compared with. Who reads the shard has its index, so that this
  // rarely takes time.
  virtual Task<Result<BlockSums>> sums(ShardId shard, Deadline deadline) = 0;
};

}  // namespace forelog::cache
