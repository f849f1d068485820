// tail.h: the newest bytes of one partition's log, in memory, as the ref-counted slices they came in.
//
// All partitions of a core share one TailBudget; a partition without recent appends costs nothing. Bytes are `written`
// when the segment's file has them (then they may go, and reads find them there), `unwritten` before. One core.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/log/batch.h"

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

namespace forelog::log {

class Tail;

// Memory of a core's tails. When they hold more than `bytes_max`, written bytes of the tails appended to longest ago
// go, and tails with unwritten bytes are asked to write.
class TailBudget {
 public:
  explicit TailBudget(Bytes bytes_max) : bytes_max_(bytes_max) {}

  Bytes bytes_max() const { return bytes_max_; }
  Bytes used() const { return used_; }
  // Appends must be refused: writing does not keep up.
  bool exhausted() const { return used_ > 2 * bytes_max_; }

 private:
  friend class Tail;
  void press();
  Bytes bytes_max_;
  Bytes used_ = 0;
  std::list<Tail*> tails_;  // that hold bytes; most recently appended to last
};

class Tail {
 public:
  // `write_wanted` is called when the budget is short and this tail has unwritten bytes; it must not write at once.
  Tail(TailBudget& budget, std::function<void()> write_wanted);
  ~Tail();
  Tail(const Tail&) = delete;
  Tail& operator=(const Tail&) = delete;

  struct Entry {
    Offset first;            // base offset of the batch
    Offset end;              // after its last
    Offset shard;            // base of the shard it lies in
    std::uint32_t position;  // in the shard
    Buffer bytes;            // the batch
  };

  // Adds a batch that follows the last. Small ones are copied together, so that they do not pin the frame they came in.
  // Returns the bytes as they are held.
  Buffer append(Offset first, Offset end, Offset shard, std::uint32_t position, Buffer bytes);

  bool empty() const { return first_ == entries_.size(); }
  Offset start() const;  // of the oldest batch held; CHECKs not empty
  Bytes unwritten() const { return unwritten_; }

  // Slices of the next unwritten batches, all of one shard, at most `size_max` bytes but at least one batch.
  struct Unwritten {
    Offset shard = kNoOffset;
    std::uint32_t position = 0;
    Slices bytes;
    Offset end = kNoOffset;
    std::size_t batches = 0;
  };
  Unwritten next_unwritten(Bytes size_max) const;
  void mark_written(Offset end);  // batches that end at or before

  // Whole batches of one shard from the one that contains `from`, below `limit`; nothing when `from` is older than what
  // is held.
  std::optional<BatchRun> read(Offset from, Offset limit, Bytes size_max, bool at_least_one) const;
  void truncate(Offset end);  // drops batches that end after
  void clear();

 private:
  friend class TailBudget;
  struct Chunk {  // where small batches are copied together
    Buffer whole;
    std::byte* data = nullptr;
    std::size_t used = 0;
  };
  void charge(Bytes bytes);
  void uncharge(Bytes bytes);
  void drop_front(std::size_t count);
  Bytes drop_written(Bytes wanted);  // oldest first, until `wanted` bytes are free; says how many are
  Buffer copy_small(const Buffer& bytes);

  TailBudget& budget_;
  std::function<void()> write_wanted_;
  // A vector with its front consumed, not a deque: that one costs half a KiB even when empty.
  std::vector<Entry> entries_;
  std::size_t first_ = 0;         // entries before it are gone
  std::size_t unwritten_at_ = 0;  // the first one that is not written
  Bytes bytes_ = 0;
  Bytes unwritten_ = 0;
  bool asked_ = false;  // to write, and has not yet
  Chunk chunk_;
  std::optional<std::list<Tail*>::iterator> place_;
};

}  // namespace forelog::log
