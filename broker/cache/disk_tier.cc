#include "broker/cache/disk_tier.h"

#include "broker/base/check.h"
#include "broker/base/crc32c.h"
#include "broker/base/log.h"

#include <algorithm>
#include <utility>

namespace forelog::cache {
namespace {

constexpr CoreId kHome{0};
constexpr Bytes kQueueMax = 16_MiB;
constexpr Bytes kWriteMax = 2_MiB;
constexpr Duration kPause = 30s;       // of writing, after a failed write
constexpr Duration kSpaceCheck = 10s;  // how often the free space is looked at
constexpr Duration kStopMax = 1s;
// The last close of a removed file frees its blocks, elsewhere and later: unless the free space has grown, the tier
// looks again for so long before it gives up another region, or, having no other, writing.
constexpr Duration kSpaceReturns = 100ms;
constexpr Duration kSpaceReturnsMax = 1s;
constexpr Duration kSpaceLook = 10ms;

}  // namespace

DiskTierMetrics::DiskTierMetrics(MetricsRegistry& r)
    : writes(r, "forelog_cache_disk_writes_total", "Writes to the disk tier, of up to 2 MiB."),
      written_blocks(r, "forelog_cache_disk_written_blocks_total", "Blocks written to the disk tier."),
      written_bytes(r, "forelog_cache_disk_written_bytes_total", "Bytes written to the disk tier."),
      dropped(r, "forelog_cache_disk_dropped_blocks_total", "Blocks not written because the disk did not keep up."),
      declined(r, "forelog_cache_disk_declined_blocks_total",
               "Blocks not written because the tier is full and nobody had asked for them before."),
      read_errors(r, "forelog_cache_disk_errors_total", "Failed reads and writes of the disk tier.", "what=\"read\""),
      write_errors(r, "forelog_cache_disk_errors_total", "Failed reads and writes of the disk tier.", "what=\"write\""),
      corrupt_blocks(r, "forelog_cache_disk_corrupt_blocks_total", "Blocks of the disk tier that failed their check."),
      removed_regions(r, "forelog_cache_disk_removed_regions_total", "Regions of the disk tier removed for space."),
      bytes(r, "forelog_cache_disk_bytes", "Bytes of the disk tier's files."),
      blocks(r, "forelog_cache_disk_blocks", "Blocks in the disk tier."),
      capacity_bytes(r, "forelog_cache_disk_capacity_bytes", "Bytes that the disk tier may take."),
      queued_bytes(r, "forelog_cache_disk_queued_bytes", "Bytes that wait to be written to the disk tier."),
      writes_paused(r, "forelog_cache_disk_writes_paused", "1 while nothing is written because writing failed.") {}

DiskTier::DiskTier(Parts parts, const CacheSettings& settings)
    : parts_(parts),
      settings_(settings),
      index_(settings.disk_bytes),
      metrics_(parts.metrics),
      life_(parts.random.next()),
      wake_(parts.clock),
      tasks_(parts.cores) {
  CHECK(!settings.disk_path.empty());
  metrics_.capacity_bytes.set(settings.disk_bytes);
}

DiskTier::~DiskTier() = default;

void DiskTier::start() { tasks_.spawn(run()); }

Task<void> DiskTier::stop() {
  stopping_ = true;
  wake_.notify();
  co_await tasks_.join();
}

void DiskTier::at_home(std::move_only_function<void()> work) {
  if (parts_.cores.current() == kHome) return work();
  parts_.cores.post(kHome, std::move(work));
}

env::Path DiskTier::path_of(std::uint64_t number) const { return settings_.disk_path + "/" + region_file_name(number); }

// --- reading, on the core that asks ----------------------------------------------------------------------------------

Task<std::vector<DiskTier::Found>> DiskTier::look(BlockRange range, BlockSums sums) {
  std::vector<Found> found;
  for (std::uint32_t i = range.first; i < range.end(); ++i) {
    BlockId id{range.shard, i};
    auto place = index_.find(id);
    if (!place) continue;
    if (i >= sums->size() || place->crc != (*sums)[i]) {
      note_bad(id, *place, {ErrorCode::kCorruptBlock, id.text() + ": another block had this name once"});
      continue;
    }
    auto file = files_.find(place->region);
    CHECK(file != files_.end(), "a block lies in a region that is gone");
    found.push_back({i, *place, file->second});
  }
  co_return found;
}

Task<void> DiskTier::find(BlockRange range, BlockSums sums, OnBlock on_block) {
  auto looking = look(range, std::move(sums));
  auto found = co_await parts_.cores.on(kHome, std::move(looking));
  for (const auto& [index, place, file] : found) {
    auto size = kRegionRecordHeaderSize + static_cast<Bytes>(place.size);
    auto bytes = co_await file->read_at(place.position, size);
    BlockId id{range.shard, index};
    auto block = bytes ? block_in_record(*bytes, id, place) : Result<Buffer>(fail(bytes.error()));
    if (block) {
      on_block(index, *std::move(block));
    } else {
      at_home([this, id, at = place, error = block.error()] { note_bad(id, at, error); });
    }
  }
}

void DiskTier::note_bad(const BlockId& id, const DiskPlace& place, const Error& error) {
  ++(error.code == ErrorCode::kCorruptBlock ? metrics_.corrupt_blocks : metrics_.read_errors);
  // Said once a region: after a power cut the newest may lack many.
  if (std::exchange(bad_region_, place.region) != place.region)
    log_line(warn, "cache_disk_block_unreadable", {{"file", path_of(place.region)}, {"error", error}});
  index_.erase_at(id, place);
  refresh_gauges();
}

// --- what is offered -------------------------------------------------------------------------------------------------

void DiskTier::on_use(const BlockId& id, Buffer bytes) {
  at_home([this, id, bytes = std::move(bytes)]() mutable { use_here(id, std::move(bytes)); });
}

void DiskTier::use_here(const BlockId& id, Buffer bytes) {
  if (stopping_ || is_provisional(id.shard) || queued_blocks_.contains(id)) return;
  switch (index_.on_use(id)) {
    case DiskAdmission::known:
      return;
    case DiskAdmission::seen_first:
      ++metrics_.declined;
      return;
    case DiskAdmission::take:
      enqueue(id, std::move(bytes), nullptr);
  }
}

bool DiskTier::enqueue(const BlockId& id, Buffer bytes, std::shared_ptr<Ticket> ticket) {
  auto size = static_cast<Bytes>(bytes.size());
  bool takes = !stopping_ && !paused_until_ && size > 0 && queued_bytes_ + size <= kQueueMax;
  if (!takes) {
    ++metrics_.dropped;
    return false;
  }
  RegionRecord record{.id = id, .size = static_cast<std::uint32_t>(size), .crc = crc32c(bytes)};
  queued_bytes_ += size;
  queued_blocks_.insert(id);
  queue_.push_back({record, std::move(bytes), std::move(ticket)});
  metrics_.queued_bytes.set(queued_bytes_);
  wake_.notify();
  return true;
}

Task<bool> DiskTier::put(BlockId id, Buffer bytes, Deadline deadline) {
  auto there = put_here(id, std::move(bytes), deadline);
  co_return co_await parts_.cores.on(kHome, std::move(there));
}

Task<bool> DiskTier::put_here(BlockId id, Buffer bytes, Deadline deadline) {
  auto ticket = std::make_shared<Ticket>(parts_.clock);
  if (!enqueue(id, std::move(bytes), ticket)) co_return false;
  while (!ticket->done) {
    bool in_time = co_await ticket->changed.wait(deadline);
    if (!in_time) break;
  }
  co_return ticket->written;
}

void DiskTier::link(const ShardId& provisional, Generation generation, BlockSums sums) {
  at_home([this, provisional, generation, sums = std::move(sums)] { link_here(provisional, generation, *sums); });
}

void DiskTier::link_here(const ShardId& provisional, Generation generation, const std::vector<std::uint32_t>& sums) {
  auto shard = provisional;
  shard.generation = generation;
  auto rename = [&](auto& some) {
    std::size_t renamed = 0;
    for (auto& queued : some) {
      auto& id = queued.record.id;
      bool same = id.shard == provisional && id.index < sums.size() && queued.record.crc == sums[id.index];
      if (!same) continue;
      queued_blocks_.erase(id);
      id.shard = shard;
      queued_blocks_.insert(id);
      ++renamed;
    }
    return renamed;
  };
  rename(queue_);
  // Records that are written, or being written, keep the provisional name; the next start needs to know.
  auto linked = rename(in_flight_) + index_.link(provisional, generation, sums);
  if (linked == 0 || stopping_) return;
  RegionRecord record{.kind = RegionRecordKind::link, .id = {provisional, 0}, .generation = generation};
  queue_.push_back({record, {}, nullptr});
  wake_.notify();
}

void DiskTier::erase(BlockRange range) {
  at_home([this, range] {
    for (std::uint32_t i = 0; i < range.count; ++i) index_.erase(range.at(i));
    refresh_gauges();
  });
}

// --- starting --------------------------------------------------------------------------------------------------------

Task<void> DiskTier::run() {
  while (!stopping_) {
    auto now = parts_.clock.now();
    if (paused_until_ && now >= *paused_until_) paused_until_.reset();
    if (!loaded_ && !paused_until_) {
      auto found = co_await load();
      loaded_ = found.has_value();
      if (!found) pause(found.error());
      continue;
    }
    if (now - space_checked_ >= kSpaceCheck) {
      space_checked_ = now;
      (void)co_await leave_free_space(0);
      continue;
    }
    if (queue_.empty() || paused_until_) {
      co_await wake_.wait(std::min(paused_until_.value_or(kForever), space_checked_ + kSpaceCheck));
      continue;
    }
    co_await write_queued(false);
  }
  auto deadline = parts_.clock.now() + kStopMax;
  while (loaded_ && !queue_.empty() && !paused_until_ && parts_.clock.now() < deadline) co_await write_queued(true);
  drop_queue();
  co_await end_region();
}

Task<Result<void>> DiskTier::load() {
  CO_TRY(co_await parts_.files.create_directories(settings_.disk_path));
  auto names = CO_TRY(co_await parts_.files.list(settings_.disk_path));
  std::vector<std::uint64_t> numbers;
  for (const auto& name : names) {
    if (auto number = parse_region_file_name(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  if (!numbers.empty()) next_number_ = numbers.back() + 1;
  for (auto number : numbers) {
    if (stopping_) break;
    auto region = co_await read_region(number);
    if (!region) {
      log_line(warn, "cache_disk_region_dropped", {{"file", path_of(number)}, {"error", region.error()}});
      (void)co_await parts_.files.remove(path_of(number));
      continue;
    }
    files_[number] = std::move(region->file);
    index_.restore(number, region->header.life, region->bytes, region->records);
    refresh_gauges();
  }
  index_.end_restore();
  // The bound may be smaller than before, and it may be long until the next region is begun.
  while (index_.bytes() > index_.bytes_max()) {
    auto oldest = index_.drop_oldest();
    if (!oldest) break;
    co_await remove_region(*oldest);
  }
  refresh_gauges();
  if (index_.blocks() > 0) {
    log_line(info, "cache_disk_found",
             {{"path", settings_.disk_path}, {"blocks", index_.blocks()}, {"bytes", index_.bytes()}});
  }
  co_return Result<void>{};
}

Task<Result<DiskTier::Region>> DiskTier::read_region(std::uint64_t number) {
  Region region;
  region.file = CO_TRY(co_await parts_.files.open(path_of(number), env::OpenMode::read));
  region.bytes = CO_TRY(co_await region.file->size());
  auto header = CO_TRY(co_await region.file->read_at(0, kRegionHeaderSize));
  region.header = CO_TRY(decode_region_header(header));
  if (region.header.number != number) co_return fail(ErrorCode::kCorruptFile, "another region's file");
  region.records = CO_TRY(co_await read_records(region.file, number, region.bytes));
  co_return region;
}

Task<Result<std::vector<PlacedRecord>>> DiskTier::read_records(env::FilePtr file, std::uint64_t number, Bytes size) {
  auto trailer = CO_TRY(co_await file->read_at(std::max<Bytes>(0, size - kRegionTrailerSize), kRegionTrailerSize));
  if (auto place = find_region_index(trailer, size)) {
    auto bytes = CO_TRY(co_await file->read_at(place->position, place->size));
    auto records = decode_region_index(bytes, *place, number);
    if (records) co_return records;
  }
  // It was not closed, or its end is damaged: one header leads to the next.
  std::vector<PlacedRecord> records;
  for (auto position = kRegionHeaderSize; position + kRegionRecordHeaderSize <= size;) {
    auto bytes = CO_TRY(co_await file->read_at(position, kRegionRecordHeaderSize));
    auto record = decode_region_record(bytes, number);
    if (!record) break;
    auto end = position + kRegionRecordHeaderSize + static_cast<Bytes>(record->size);
    if (end > size) break;
    records.push_back({*record, position});
    position = end;
  }
  co_return records;
}

// --- writing ---------------------------------------------------------------------------------------------------------

Task<void> DiskTier::write_queued(bool in_a_hurry) {
  while (!in_a_hurry && !stopping_ && parts_.clock.now() < next_write_) co_await wake_.wait(next_write_);
  if (queue_.empty()) co_return;
  writing_ = true;
  auto written = co_await write_some();
  if (!written) {
    ++metrics_.write_errors;
    pause(written.error());
    // Behind a write that failed in part nothing can be found again.
    auto end = index_.open_end();
    auto file = files_.empty() || end == 0 ? nullptr : files_.rbegin()->second;
    index_.close_region();
    if (file) (void)co_await file->truncate(end);
  }
  writing_ = false;
  refresh_gauges();
}

Task<Result<void>> DiskTier::write_some() {
  if (!index_.fits(1, static_cast<Bytes>(queue_.front().bytes.size()))) CO_TRY(co_await begin_region());
  Slices slices;
  Bytes size = 0;
  auto number = files_.rbegin()->first;
  while (!queue_.empty()) {
    auto next = static_cast<Bytes>(queue_.front().bytes.size());
    bool full = size + next > kWriteMax || !index_.fits(in_flight_.size() + 1, size + next);
    if (!in_flight_.empty() && full) break;
    in_flight_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    auto& queued = in_flight_.back();
    queued.record.region = number;
    slices.push_back(encode_region_record(queued.record));
    if (next > 0) slices.push_back(queued.bytes);
    size += next;
  }
  auto total = total_size(slices);
  auto file = files_.rbegin()->second;
  auto written = co_await file->write_at(index_.open_end(), std::move(slices));
  auto batch = std::exchange(in_flight_, {});
  for (auto& queued : batch) {
    if (written) index_.add(queued.record);
    settle(queued, written.has_value());
  }
  if (!written) co_return written;
  auto now = parts_.clock.now();
  auto takes = Duration(
      static_cast<std::int64_t>(1e9 * static_cast<double>(total) / static_cast<double>(settings_.disk_write_rate)));
  next_write_ = std::max(now - 10ms, next_write_) + takes;
  ++metrics_.writes;
  metrics_.written_blocks.add(static_cast<std::int64_t>(batch.size()));
  metrics_.written_bytes.add(total);
  if (metrics_.writes_paused.value() != 0) {
    metrics_.writes_paused.set(0);
    log_line(info, "cache_disk_writes_again", {{"path", settings_.disk_path}});
  }
  co_return Result<void>{};
}

Task<Result<void>> DiskTier::begin_region() {
  co_await end_region();
  auto number = next_number_++;
  for (auto gone : index_.begin_region(number)) co_await remove_region(gone);
  auto ready = co_await leave_free_space(index_.region_size());
  env::FilePtr file;
  if (ready) {
    auto opened = co_await parts_.files.open(path_of(number), env::OpenMode::create);
    if (!opened) ready = fail(opened.error());
    if (opened) file = *std::move(opened);
  }
  if (ready) ready = co_await file->write_at(0, {encode_region_header({number, life_})});
  if (!ready) {
    index_.drop_region(number);
    if (file) (void)co_await parts_.files.remove(path_of(number));
    co_return ready;
  }
  files_[number] = std::move(file);
  co_return Result<void>{};
}

Task<void> DiskTier::end_region() {
  auto end = index_.open_end();
  if (end == 0) co_return;
  auto records = index_.close_region();
  // Without it the next start takes longer, no more.
  auto written = co_await files_.rbegin()->second->write_at(end, {encode_region_index(records, end)});
  if (!written) ++metrics_.write_errors;
}

// Removes own regions, oldest first, until `wanted` bytes can be written and the disk still has what it is to keep.
Task<Result<void>> DiskTier::leave_free_space(Bytes wanted) {
  while (true) {
    auto free = CO_TRY(co_await parts_.files.free_space(settings_.disk_path));
    if (free >= settings_.disk_free_bytes + wanted) co_return Result<void>{};
    auto patience = index_.regions() > 1 ? kSpaceReturns : kSpaceReturnsMax;
    if (free <= free_before_removal_ && parts_.clock.now() < removed_ + patience && !stopping_) {
      co_await sleep_until(parts_.clock, parts_.clock.now() + kSpaceLook);
      continue;
    }
    auto oldest = index_.drop_oldest();
    if (!oldest) {
      co_return fail(ErrorCode::kDiskFull, settings_.disk_path + " has " + std::to_string(free) +
                                               " bytes left; cache.disk.free.bytes keeps " +
                                               std::to_string(settings_.disk_free_bytes) + " free");
    }
    co_await remove_region(*oldest);
  }
}

Task<void> DiskTier::remove_region(std::uint64_t number) {
  ++metrics_.removed_regions;
  auto free = co_await parts_.files.free_space(settings_.disk_path);
  free_before_removal_ = free.value_or(0);
  removed_ = parts_.clock.now();
  files_.erase(number);
  auto removed = co_await parts_.files.remove(path_of(number));
  if (!removed) log_line(warn, "cache_disk_region_stays", {{"file", path_of(number)}, {"error", removed.error()}});
  refresh_gauges();
}

void DiskTier::pause(const Error& error) {
  bool said = metrics_.writes_paused.value() != 0;
  metrics_.writes_paused.set(1);
  paused_until_ = parts_.clock.now() + kPause;
  drop_queue();
  if (said) return;
  log_line(warn, "cache_disk_writes_paused",
           {{"path", settings_.disk_path}, {"retry_ms", to_ms(kPause)}, {"error", error}});
}

void DiskTier::drop_queue() {
  for (auto& queued : std::exchange(queue_, {})) {
    if (queued.record.kind == RegionRecordKind::block) ++metrics_.dropped;
    settle(queued, false);
  }
}

void DiskTier::settle(Queued& queued, bool written) {
  queued_bytes_ -= static_cast<Bytes>(queued.bytes.size());
  queued_blocks_.erase(queued.record.id);
  metrics_.queued_bytes.set(queued_bytes_);
  if (!queued.ticket) return;
  queued.ticket->done = true;
  queued.ticket->written = written;
  queued.ticket->changed.notify();
}

void DiskTier::refresh_gauges() {
  metrics_.bytes.set(index_.bytes());
  metrics_.blocks.set(static_cast<std::int64_t>(index_.blocks()));
}

}  // namespace forelog::cache
