#include "broker/cache/disk_index.h"

#include "broker/base/check.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace forelog::cache {
namespace {

constexpr Bytes kRegionsWanted = 64;
constexpr Bytes kRegionSizeMin = 1_MiB;
constexpr std::size_t kGhostsMin = 16;

Bytes size_of(const RegionRecord& record) { return kRegionRecordHeaderSize + static_cast<Bytes>(record.size); }
Bytes index_size(std::size_t records) {
  return static_cast<Bytes>(records) * kRegionIndexEntrySize + kRegionTrailerSize;
}

}  // namespace

Bytes DiskIndex::region_size() const { return std::max(bytes_max_ / kRegionsWanted, kRegionSizeMin); }

std::optional<DiskPlace> DiskIndex::find(const BlockId& id) const {
  auto found = places_.find(id);
  if (found == places_.end()) return std::nullopt;
  return found->second;
}

// --- admission -------------------------------------------------------------------------------------------------------

// The last region before the bound, and the one that is removed for the next, do not count as room.
bool DiskIndex::has_room() const { return bytes_ + 2 * region_size() <= bytes_max_; }

bool DiskIndex::is_old(std::uint64_t region) const {
  auto young = std::next(regions_.begin(), static_cast<std::ptrdiff_t>(regions_.size() / 4));
  return young != regions_.end() && region < young->first;
}

DiskAdmission DiskIndex::on_use(const BlockId& id) {
  bool room = has_room();
  if (auto found = places_.find(id); found != places_.end()) {
    return !room && is_old(found->second.region) ? DiskAdmission::take : DiskAdmission::known;
  }
  if (room || ghosts_.erase(std::hash<BlockId>{}(id)) > 0) return DiskAdmission::take;
  remember(id);
  return DiskAdmission::seen_first;
}

void DiskIndex::remember(const BlockId& id) {
  auto hash = static_cast<std::uint64_t>(std::hash<BlockId>{}(id));
  if (!ghosts_.insert(hash).second) return;
  ghost_.push_back(hash);
  auto most = std::max(static_cast<std::size_t>(bytes_max_ / kBlockSize), kGhostsMin);
  while (ghost_.size() > most) {
    ghosts_.erase(ghost_.front());
    ghost_.pop_front();
  }
}

// --- growing ---------------------------------------------------------------------------------------------------------

std::vector<std::uint64_t> DiskIndex::begin_region(std::uint64_t number) {
  CHECK(open_ == nullptr, "one region grows at a time");
  CHECK(regions_.empty() || regions_.rbegin()->first < number, "regions are numbered upwards");
  std::vector<std::uint64_t> gone;
  while (bytes_ + region_size() > bytes_max_) {
    auto oldest = drop_oldest();
    if (!oldest) break;
    gone.push_back(*oldest);
  }
  open_ = &regions_[number];
  open_number_ = number;
  open_->bytes = kRegionHeaderSize;
  bytes_ += kRegionHeaderSize;
  return gone;
}

std::optional<std::uint64_t> DiskIndex::drop_oldest() {
  if (regions_.empty() || &regions_.begin()->second == open_) return std::nullopt;
  auto number = regions_.begin()->first;
  drop_region(number);
  return number;
}

bool DiskIndex::fits(std::size_t records, Bytes bytes) const {
  if (open_ == nullptr) return false;
  auto headers = static_cast<Bytes>(records) * kRegionRecordHeaderSize;
  return open_->bytes + headers + bytes + index_size(open_->records.size() + records) <= region_size();
}

void DiskIndex::add(const RegionRecord& record) {
  CHECK(open_ != nullptr && record.region == open_number_);
  PlacedRecord placed{record, open_->bytes};
  open_->bytes += size_of(record);
  bytes_ += size_of(record);
  open_->records.push_back(placed);
  if (record.kind == RegionRecordKind::block) put(record.id, {record.region, placed.position, record.size, record.crc});
}

void DiskIndex::put(const BlockId& id, const DiskPlace& place) {
  places_[id] = place;
  regions_.at(place.region).ids.push_back(id);
}

std::vector<PlacedRecord> DiskIndex::close_region() {
  if (open_ == nullptr) return {};
  auto records = std::exchange(open_->records, {});
  open_->bytes += index_size(records.size());
  bytes_ += index_size(records.size());
  open_ = nullptr;
  return records;
}

// --- starting --------------------------------------------------------------------------------------------------------

void DiskIndex::restore(std::uint64_t number, std::uint64_t life, Bytes bytes,
                        const std::vector<PlacedRecord>& records) {
  CHECK(open_ == nullptr && (regions_.empty() || regions_.rbegin()->first < number));
  regions_[number].bytes = bytes;
  bytes_ += bytes;
  for (const auto& [record, position] : records) {
    DiskPlace place{number, position, record.size, record.crc};
    if (record.kind == RegionRecordKind::link) {
      for (const auto& block : std::exchange(unlinked_[record.id.shard], {})) {
        if (block.life != life) continue;
        ShardId shard = record.id.shard;
        shard.generation = record.generation;
        put({shard, block.index}, block.place);
      }
    } else if (is_provisional(record.id.shard)) {
      unlinked_[record.id.shard].push_back({life, record.id.index, place});
    } else {
      put(record.id, place);
    }
  }
}

void DiskIndex::end_restore() { unlinked_.clear(); }

// --- leaving ---------------------------------------------------------------------------------------------------------

void DiskIndex::erase(const BlockId& id) { places_.erase(id); }

void DiskIndex::erase_at(const BlockId& id, const DiskPlace& place) {
  auto found = places_.find(id);
  if (found != places_.end() && found->second == place) places_.erase(found);
}

void DiskIndex::drop_region(std::uint64_t number) {
  auto at = regions_.find(number);
  if (at == regions_.end()) return;
  for (const auto& id : at->second.ids) {
    auto found = places_.find(id);
    if (found != places_.end() && found->second.region == number) places_.erase(found);
  }
  bytes_ -= at->second.bytes;
  if (&at->second == open_) open_ = nullptr;
  regions_.erase(at);
}

std::size_t DiskIndex::link(const ShardId& provisional, Generation generation, const std::vector<std::uint32_t>& crcs) {
  std::size_t linked = 0;
  auto shard = provisional;
  shard.generation = generation;
  for (std::uint32_t i = 0; i < crcs.size(); ++i) {
    auto found = places_.find({provisional, i});
    if (found == places_.end()) continue;
    auto place = found->second;
    places_.erase(found);
    if (place.crc != crcs[i]) continue;
    put({shard, i}, place);
    ++linked;
  }
  return linked;
}

}  // namespace forelog::cache
