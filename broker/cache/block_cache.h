// block_cache.h: archived blocks in memory, and the loads that bring them there: from the disk tier if it has them,
// else from the archive.
//
// One per core, used on that core only. Everything that reads the archive goes through it.
// Invariants: a block is loaded by at most one load at a time, whoever asks second joins it; a load once begun
// completes into the cache, whatever became of the one who asked; cached bytes and bytes set aside for loads in flight
// never exceed `capacity`; bytes enter verified and never change.
#pragma once

#include "broker/base/result.h"
#include "broker/cache/block.h"
#include "broker/cache/block_source.h"
#include "broker/cache/cache_metrics.h"
#include "broker/cache/eviction.h"
#include "broker/cache/settings.h"
#include "broker/cache/tier.h"
#include "broker/env/cores.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>

namespace forelog::cache {

// A cached block, and how it came to be there.
struct Hit {
  Buffer bytes;
  LoadCause cause;           // of the load that brought it
  Instant in_memory{};       // when that was
  bool first_use = false;    // nobody had used it before
  bool was_awaited = false;  // somebody waited for it while it was loaded
  BlockOrigin origin = BlockOrigin::archive;
};

// What one call to `start_load` did, in blocks.
struct LoadStart {
  std::uint32_t cached = 0;
  std::uint32_t joined = 0;           // on their way already
  std::uint32_t started = 0;          // demand: or waiting for memory or a request slot
  std::uint32_t refused = 0;          // prefetches only: reported as outcomes too
  RefusedWhy why = RefusedWhy::none;  // of the first refusal
};

// What a prefetch may take now.
struct PrefetchRoom {
  Bytes bytes = 0;
  std::int32_t loads = 0;
};

class BlockCache {
 public:
  struct Parts {
    env::Cores& cores;
    env::Clock& clock;
    BlockSource& source;
    MetricsRegistry& metrics;
    Tier* disk = nullptr;
  };
  // `capacity` is this core's part of `settings.memory`, at least two blocks.
  BlockCache(Parts parts, const CacheSettings& settings, Bytes capacity);
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  void set_outcome_sink(OutcomeSink* sink) { sink_ = sink; }  // null: nobody listens
  void set_capacity(Bytes capacity);

  // No new loads from here on; those in flight end by their deadline. Waiters are woken and see Stopping.
  Task<void> stop();

  // --- reading, synchronous ----------------------------------------------------------------------------------------
  // The block if it is in memory; notes the use by `reader`. The bytes outlive their eviction.
  std::optional<Hit> find(const BlockId& id, ReaderId reader = ReaderId{0});
  // The same without noting a use: for whoever cannot use the block yet.
  std::optional<Buffer> peek(const BlockId& id);
  bool contains(const BlockId& id) const { return memory_.contains(id); }
  // `cause.reader` (0: somebody) is expected to read the block: if it is in memory it is kept there for him like a
  // fresh prefetch, as far as their share reaches.
  Presence expect(const BlockId& id, const LoadCause& cause);
  bool in_flight(const BlockId& id) const { return in_flight_.contains(id); }
  // Why the last load of this block failed, for `failure_memory` after that; such a block is not loaded meanwhile.
  std::optional<Error> recent_failure(const BlockId& id) const;

  // --- loading -----------------------------------------------------------------------------------------------------
  // Starts what is needed for `range` to come into memory; never waits. Blocks cached or on their way are skipped, a
  // prefetch `expect`s those cached; a prefetch on its way is raised when `cause` is demand. Demand waits its turn for
  // memory and request slots: who waits asks again twice a second, for what nobody has asked for again for two seconds
  // leaves the queue; its waiters look again, and nothing has failed. A prefetch that cannot start at once is refused.
  // Blocks that failed a moment ago are left out.
  LoadStart start_load(BlockRange range, const LoadCause& cause);
  // Notifies `landed` when the block lands or fails. False when it is not on its way: look again instead of waiting.
  bool subscribe(const BlockId& id, std::shared_ptr<Event> landed);
  // Somebody can use the blocks of `range` only all at once, and waits for those that are missing. Those that are here
  // are kept for him until he has them all (he uses the last one), or has not said so again for a while. This is done
  // for one range at a time, so that readers in a small cache do not take turns in taking each other's half.
  void keep_together(BlockRange range);
  // Loads it on demand and waits. Errors: Timeout (the load goes on), and what the source says.
  Task<Result<Buffer>> get(BlockId id, Deadline deadline);

  PrefetchRoom prefetch_room(LoadKind kind) const;

  // --- write-through -----------------------------------------------------------------------------------------------
  // Takes bytes of a shard that this broker writes, as if a reader had just used them. False: there is no room.
  bool insert_written(const BlockId& id, Buffer bytes);
  // The shard is sealed: the block under its provisional name gets the final one, or goes if it gets none.
  void rename_written(const BlockId& provisional, std::optional<BlockId> final);

  // --- leaving -----------------------------------------------------------------------------------------------------
  // `reader` has passed `range`, or will not come to it any more: what nobody else has used or is expected for goes
  // first when space is needed.
  void drop_behind(BlockRange range, ReaderId reader);
  // The shard is gone: so are its blocks; loads of it that are in flight complete and age out.
  void erase(BlockRange range);

  Bytes used() const { return memory_.used(); }
  Bytes reserved() const { return memory_.reserved(); }
  Bytes capacity() const { return memory_.capacity(); }
  const CacheMetrics& metrics() const { return metrics_; }

 private:
  struct Cached {
    Buffer bytes;
    LoadCause cause;
    bool awaited = false;
    BlockOrigin origin = BlockOrigin::archive;
    Instant started{}, in_memory{};
  };
  using Memory = EvictionPolicy<BlockId, Cached>;
  struct Load;
  struct InFlight;
  struct Together {
    BlockRange range;
    Instant until;
  };
  struct Failure {
    Error error;
    Instant until;
  };

  void start_demand(BlockRange run, const LoadCause& cause, bool first_read);
  void start_prefetch(BlockRange run, const LoadCause& cause, LoadStart& start);
  void refuse(BlockRange run, const LoadCause& cause, RefusedWhy why, LoadStart& start);
  void join(InFlight& block, const LoadCause& cause);
  void hold_together();
  bool is_given_up(const Load& load) const;
  void give_up(const Load& load);  // one that waits
  void drop_given_up();
  void start_waiting();  // demand that waits for memory or a slot, as far as there is room
  Task<void> keep_starting();
  std::shared_ptr<Load> enlist(BlockRange extent, const LoadCause& cause);
  void dispatch(const std::shared_ptr<Load>& load);
  Task<void> run(std::shared_ptr<Load> load);
  std::shared_ptr<InFlight> leave_flight(const Load& load, std::uint32_t index);
  Task<void> ask_disk(std::shared_ptr<Load> load);
  struct DiskAnswer;
  static Task<void> read_disk(BlockCache& self, std::shared_ptr<Load> load, std::shared_ptr<DiskAnswer> answer);
  BlockRange still_missing(const Load& load) const;
  void land(const Load& load, std::uint32_t index, Buffer bytes, BlockOrigin origin);
  void settle(const Load& load, std::uint32_t index, const Error& error);
  void take_out(Memory::EvictedList& evicted);
  void report(const PrefetchOutcome& outcome);
  void refresh_gauges();
  std::uint32_t extent_blocks_max() const;

  Parts parts_;
  CacheSettings settings_;
  Memory memory_;
  CacheMetrics metrics_;
  OutcomeSink* sink_ = nullptr;
  std::unordered_map<BlockId, std::shared_ptr<InFlight>> in_flight_;
  std::unordered_map<BlockId, Failure> failures_;
  std::deque<std::shared_ptr<Load>> waiting_;  // demand, in order
  std::optional<Together> together_;           // what `keep_together` keeps,
  std::optional<Together> next_together_;      // and whose turn it is then
  std::int32_t running_ = 0;                   // loads dispatched
  std::int32_t running_prefetches_ = 0;        // of these: prefetches that nobody has joined
  bool keeps_starting_ = false;
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog::cache
