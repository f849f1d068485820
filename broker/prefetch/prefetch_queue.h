// prefetch_queue.h: extents waiting to be loaded, most valuable first.
//
// Pure: no I/O, no clock; the caller passes `now`. One per core, used on that core only.
//
// A lane holds what waits of one shard, first in, first out. Lanes compete by the best that waits in them: expected
// benefit (score times readers), halved for every second that it is needed later; so the order of two extents never
// changes by the mere passing of time.
//
// Invariants: a block waits in at most one extent; no extent is longer than kExtentBlocksMax or crosses a multiple of
// it, so that windows of different readers meet in the same extents; the queue never holds more than `entries_max`, a
// lane never more than `lane_max`.
#pragma once

#include "broker/prefetch/hint.h"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace forelog::prefetch {

struct QueuedExtent {
  Extent extent;
  Cause cause;  // of whoever asked with the highest score
  std::int32_t readers = 1;
  Instant needed_by;
  Instant worthless_after;            // loading it later would be for nothing
  ReaderId reader{0};                 // for whom alone, where that is known
  std::optional<Instant> keep_until;  // of heads that wait for a session
};

class PrefetchQueue {
 public:
  PrefetchQueue(std::size_t entries_max, std::size_t lane_max);

  // Adds a run of blocks of any length in as many extents as it takes. Blocks that wait already are merged: higher
  // score, earlier deadline, more readers. A full lane, then a full queue, lets its lowest score go, which may be the
  // new one. Yields what fell out.
  std::vector<QueuedExtent> offer(QueuedExtent wanted);

  // What `pop` would take next, and when the most urgent of that lane is needed.
  struct Next {
    Extent extent;
    Instant needed_by;
  };
  std::optional<Next> next() const;
  // Room that there must be for unread prefetches, which have `staging` of a cache of `capacity`, to start it: what is
  // wanted later leaves half of it to what turns out to be wanted sooner. `latency`: of a load.
  static Bytes room_for(const Next& next, Bytes staging, Bytes capacity, Duration latency, Instant now);

  // Removes and returns the head of the most valuable lane. Heads that are worthless at `now` go to `late` on the way.
  std::optional<QueuedExtent> pop(Instant now, std::vector<QueuedExtent>& late);

  // Removes what `unwanted` says.
  std::vector<QueuedExtent> remove_if(const std::function<bool(const QueuedExtent&)>& unwanted);

  std::size_t size() const { return by_score_.size(); }
  Bytes bytes() const { return static_cast<Bytes>(blocks_) * kBlockSize; }
  std::size_t lanes() const { return lanes_.size(); }

 private:
  using Sequence = std::uint64_t;  // order of arrival
  using Rank = double;             // the higher the sooner; comparable at any time
  // Of two of equal rank the one that came first goes first, wherever their shards stand in any order of ids.
  struct Standing {
    Rank rank;
    Sequence at;
    friend bool operator<(const Standing& a, const Standing& b) {
      return a.rank != b.rank ? a.rank < b.rank : a.at > b.at;
    }
  };
  struct Lane {
    std::map<Sequence, QueuedExtent> waiting;
    std::map<std::uint32_t, Sequence> by_block;  // first block of each extent
    std::set<Standing> by_rank;
  };
  using Lanes = std::map<ShardId, Lane>;

  static Rank rank(const QueuedExtent& entry);
  Lane& lane_of(const ShardId& shard) { return lanes_[shard]; }
  void merge(Lane& lane, Sequence at, const QueuedExtent& with);
  bool extend(Lane& lane, const QueuedExtent& gap);
  void insert(Lane& lane, QueuedExtent entry);
  QueuedExtent take(const ShardId& shard, Sequence at);
  void enter_contest(const ShardId& shard, const Lane& lane);
  void leave_contest(const Lane& lane);

  std::size_t entries_max_, lane_max_;
  Lanes lanes_;
  std::map<Standing, ShardId> contest_;                      // lanes by their best rank
  std::set<std::tuple<Score, Sequence, ShardId>> by_score_;  // every entry
  Sequence next_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace forelog::prefetch
