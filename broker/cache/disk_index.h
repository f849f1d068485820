// disk_index.h: which blocks the disk tier has and where, which it takes, and what goes when space is needed.
//
// Pure: no I/O, no clock. One for a broker, used on one core.
//
// Space is handed out in regions, files that are appended to and removed whole, oldest first: the disk sees long
// sequential writes, and nothing is ever moved. What is worth a write:
//   - while there is room, every block that a reader used;
//   - once the tier is full, only what was used before and came back not long after: a ghost list remembers as many
//     blocks as the tier may hold. One pass over a long history costs no writes and displaces nothing;
//   - a block used again while it lies in the oldest quarter is written again, and so outlives its region.
// Invariant: a block has one place at most; bytes() <= bytes_max whenever a region is begun as `begin_region` says.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/cache/disk_format.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace forelog::cache {

enum class DiskAdmission : std::uint8_t {
  take,
  known,       // it is there, and will be for long
  seen_first,  // the tier is full, and nobody has asked for it before
};

class DiskIndex {
 public:
  explicit DiskIndex(Bytes bytes_max) : bytes_max_(bytes_max) {}

  Bytes bytes_max() const { return bytes_max_; }
  Bytes bytes() const { return bytes_; }  // of all regions, headers and dead records included
  std::size_t blocks() const { return places_.size(); }
  std::size_t regions() const { return regions_.size(); }
  Bytes region_size() const;  // what a region grows to

  // --- reading ---
  std::optional<DiskPlace> find(const BlockId& id) const;

  // --- admission ---
  // A reader has used this block for the first time since it came into memory: is it to be written?
  DiskAdmission on_use(const BlockId& id);

  // --- growing ---
  // Begins a region, to which records are added from here on. Yields those that must go first, oldest first; they are
  // forgotten already.
  std::vector<std::uint64_t> begin_region(std::uint64_t number);
  // Gives up the oldest region, if there is one besides the open one.
  std::optional<std::uint64_t> drop_oldest();
  // Whether so many records more, with so many bytes in them, fit into the open region. False without one.
  bool fits(std::size_t records, Bytes bytes) const;
  Bytes open_end() const { return open_ == nullptr ? 0 : open_->bytes; }
  // Notes a record at the end of the open region, once it is written. The older place of the block is dead.
  void add(const RegionRecord& record);
  // The open region ends; yields its records, for the index that may be written behind them.
  std::vector<PlacedRecord> close_region();

  // --- starting ---
  // A region found at start, older ones first. `bytes`: of its file.
  void restore(std::uint64_t number, std::uint64_t life, Bytes bytes, const std::vector<PlacedRecord>& records);
  // All regions are restored: provisional blocks without a link go.
  void end_restore();

  // --- leaving ---
  void erase(const BlockId& id);
  void erase_at(const BlockId& id, const DiskPlace& place);  // only if that is still its place
  // The region is unreadable: all of its blocks go. The caller removes the file.
  void drop_region(std::uint64_t number);
  // The shard is sealed: its blocks under the provisional generation are those of `generation` from here on, where
  // their checksums are those of the footer. Yields how many.
  std::size_t link(const ShardId& provisional, Generation generation, const std::vector<std::uint32_t>& crcs);

 private:
  struct Region {
    Bytes bytes = 0;
    std::vector<PlacedRecord> records;  // of the open region only
    std::vector<BlockId> ids;           // of those whose place may be here
  };
  void put(const BlockId& id, const DiskPlace& place);
  bool is_old(std::uint64_t region) const;
  bool has_room() const;
  void remember(const BlockId& id);

  Bytes bytes_max_;
  Bytes bytes_ = 0;
  std::map<std::uint64_t, Region> regions_;
  std::uint64_t open_number_ = 0;
  Region* open_ = nullptr;
  std::unordered_map<BlockId, DiskPlace> places_;
  std::deque<std::uint64_t> ghost_;  // hashes, oldest first
  std::unordered_set<std::uint64_t> ghosts_;

  // While starting: blocks under provisional generations, by the life of their region.
  struct Unlinked {
    std::uint64_t life;
    std::uint32_t index;
    DiskPlace place;
  };
  std::unordered_map<ShardId, std::vector<Unlinked>> unlinked_;
};

}  // namespace forelog::cache
