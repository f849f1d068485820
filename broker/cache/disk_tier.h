// disk_tier.h: blocks on a local disk, so that more stays warm than memory holds, and stays so over a restart.
//
// One for a broker. Index and writing live on core 0; reads run on the core that asks, on the tier's own threads.
// Blocks are appended to region files, 2 MiB a write, never synced, at most `cache.disk.write.bytes.per.second`; what
// does not fit into the bounded queue is dropped. disk_index.h says what is written and what goes. Nothing depends on
// what is here: a damaged, torn or missing block is a miss.
//
// The disk is never filled: files stay within `cache.disk.bytes`, and where others leave less than
// `cache.disk.free.bytes` the tier gives its own back, oldest first. When a write fails, writing pauses, blocks that
// are there are still served, and it goes on by itself.
#pragma once

#include "broker/base/metrics.h"
#include "broker/cache/disk_index.h"
#include "broker/cache/settings.h"
#include "broker/cache/tier.h"
#include "broker/env/cores.h"
#include "broker/env/event.h"
#include "broker/env/files.h"
#include "broker/env/random.h"
#include "broker/env/task_group.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

namespace forelog::cache {

struct DiskTierMetrics {
  explicit DiskTierMetrics(MetricsRegistry& registry);
  Counter writes, written_blocks, written_bytes;
  Counter dropped, declined;  // blocks: no room in the queue; not worth a write
  Counter read_errors, write_errors, corrupt_blocks;
  Counter removed_regions;
  Gauge bytes, blocks, capacity_bytes, queued_bytes, writes_paused;
};

class DiskTier final : public Tier {
 public:
  struct Parts {
    env::Cores& cores;
    env::Clock& clock;
    env::Random& random;
    env::Files& files;
    MetricsRegistry& metrics;  // of core 0
  };
  // Core 0 makes, starts and stops it. `settings.disk_path` is not empty.
  DiskTier(Parts parts, const CacheSettings& settings);
  ~DiskTier() override;

  // Returns at once; what is on the disk is found as soon as its region has been looked at.
  void start();
  // After all who use it have stopped. Writes what is queued, as far as a second allows, and the open region's index.
  Task<void> stop();

  Task<void> find(BlockRange range, BlockSums sums, OnBlock on_block) override;
  void on_use(const BlockId& id, Buffer bytes) override;
  Task<bool> put(BlockId id, Buffer bytes, Deadline deadline) override;
  void link(const ShardId& provisional, Generation generation, BlockSums sums) override;
  void erase(BlockRange range) override;

  // On core 0.
  const DiskIndex& index() const { return index_; }
  const DiskTierMetrics& metrics() const { return metrics_; }
  bool loaded() const { return loaded_; }
  bool idle() const { return queue_.empty() && !writing_; }

 private:
  struct Found {
    std::uint32_t index;
    DiskPlace place;
    env::FilePtr file;
  };
  struct Ticket {
    explicit Ticket(env::Clock& clock) : changed(clock) {}
    Event changed;
    bool done = false;
    bool written = false;
  };
  struct Queued {
    RegionRecord record;
    Buffer bytes;
    std::shared_ptr<Ticket> ticket;  // of who waits for it, if anybody
  };

  void at_home(std::move_only_function<void()> work);
  Task<std::vector<Found>> look(BlockRange range, BlockSums sums);
  Task<bool> put_here(BlockId id, Buffer bytes, Deadline deadline);
  void use_here(const BlockId& id, Buffer bytes);
  void link_here(const ShardId& provisional, Generation generation, const std::vector<std::uint32_t>& sums);
  void note_bad(const BlockId& id, const DiskPlace& place, const Error& error);
  bool enqueue(const BlockId& id, Buffer bytes, std::shared_ptr<Ticket> ticket);

  Task<void> run();
  Task<Result<void>> load();
  struct Region {
    RegionHeader header;
    Bytes bytes = 0;
    std::vector<PlacedRecord> records;
    env::FilePtr file;
  };
  Task<Result<Region>> read_region(std::uint64_t number);
  Task<Result<std::vector<PlacedRecord>>> read_records(env::FilePtr file, std::uint64_t number, Bytes size);
  Task<void> write_queued(bool in_a_hurry);
  Task<Result<void>> write_some();
  Task<Result<void>> begin_region();
  Task<void> end_region();
  Task<Result<void>> leave_free_space(Bytes wanted);
  Task<void> remove_region(std::uint64_t number);
  void pause(const Error& error);
  void drop_queue();
  void settle(Queued& queued, bool written);
  void refresh_gauges();
  env::Path path_of(std::uint64_t number) const;

  Parts parts_;
  CacheSettings settings_;
  DiskIndex index_;
  DiskTierMetrics metrics_;
  std::uint64_t life_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, env::FilePtr> files_;  // of every region
  std::deque<Queued> queue_;
  std::vector<Queued> in_flight_;  // in the write under way
  Bytes queued_bytes_ = 0;
  std::unordered_set<BlockId> queued_blocks_;
  Instant next_write_{};  // not before, for the rate's sake
  std::optional<Instant> paused_until_;
  Instant space_checked_{};
  Bytes free_before_removal_ = -1;  // on the disk, when the last region went
  Instant removed_{};
  std::uint64_t bad_region_ = 0;  // of the last unreadable block
  bool loaded_ = false, writing_ = false, stopping_ = false;
  Event wake_;
  TaskGroup tasks_;
};

}  // namespace forelog::cache
