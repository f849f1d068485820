#include "broker/cache/block_cache.h"

#include "broker/base/check.h"

#include <algorithm>
#include <utility>

namespace forelog::cache {
namespace {

constexpr std::size_t kWaitingMax = 1024;    // demand loads that wait for memory or a slot
constexpr std::size_t kFailuresSweep = 256;  // remembered failures above which old ones are looked for
constexpr Duration kDiskPatience = 250ms;    // for the disk tier, before the archive is asked
constexpr Duration kTogetherMax = 2s;        // that blocks are kept for a reader who does not come back
constexpr Duration kGivenUp = 2s;       // after it was last asked for, what waits for its turn is not loaded any more
constexpr Duration kAskAgain = 500ms;   // who waits, as a Fetch does: well within kGivenUp
constexpr Duration kStartAgain = 20ms;  // leases end without a word, so what waits for memory looks again

constexpr std::size_t index_of(auto kind) { return static_cast<std::size_t>(kind); }
constexpr Bytes size_of(BlockRange range) { return static_cast<Bytes>(range.count) * kBlockSize; }

}  // namespace

struct BlockCache::Load {
  BlockRange range;
  LoadCause cause;
  std::shared_ptr<Priority> priority;
  Instant asked{};  // when somebody last wanted it
  Instant started{};
  bool dispatched = false;
};

struct BlockCache::InFlight {
  std::shared_ptr<Load> load;
  std::optional<Instant> demanded;  // when somebody began to wait
  ReaderId demanded_by{0};
  std::vector<std::shared_ptr<Event>> waiters;
};

struct BlockCache::DiskAnswer {
  explicit DiskAnswer(env::Clock& clock) : changed(clock) {}
  Event changed;
  bool asked = false;  // the shard's checksums came, without which nothing of the disk is believed
  bool complete = false;
};

BlockCache::BlockCache(Parts parts, const CacheSettings& settings, Bytes capacity)
    : parts_(parts),
      settings_(settings),
      memory_({.capacity = capacity, .staging_share = settings.staging_share, .heads_share = settings.heads_share}),
      metrics_(parts.metrics),
      tasks_(parts.cores) {
  CHECK(capacity >= 2 * kBlockSize, "a block cache holds two blocks at least");
  refresh_gauges();
}

BlockCache::~BlockCache() = default;

void BlockCache::set_capacity(Bytes capacity) {
  Memory::EvictedList evicted;
  memory_.set_capacity(std::max(capacity, 2 * kBlockSize), parts_.clock.now(), evicted);
  take_out(evicted);
  start_waiting();
  refresh_gauges();
}

Task<void> BlockCache::stop() {
  stopping_ = true;
  while (!waiting_.empty()) {
    auto load = std::move(waiting_.front());
    waiting_.pop_front();
    for (auto i = load->range.first; i < load->range.end(); ++i)
      settle(*load, i, {ErrorCode::kStopping, load->range.text()});
  }
  co_await tasks_.join();
  refresh_gauges();
}

// --- reading ---------------------------------------------------------------------------------------------------------

std::optional<Hit> BlockCache::find(const BlockId& id, ReaderId reader) {
  auto use = memory_.use(id, reader.value());
  if (use.payload == nullptr) return std::nullopt;
  const auto& cached = *use.payload;
  ++metrics_.hits;
  metrics_.hit_bytes.add(static_cast<Bytes>(cached.bytes.size()));
  Hit hit{cached.bytes, cached.cause, cached.in_memory, use.first, cached.awaited, cached.origin};
  if (use.first) {
    if (parts_.disk != nullptr) parts_.disk->on_use(id, cached.bytes);
    if (cached.cause.is_prefetch() && !cached.awaited) {
      report({.cause = cached.cause,
              .range = {id.shard, id.index, 1},
              .bytes = static_cast<Bytes>(cached.bytes.size()),
              .kind = OutcomeKind::used,
              .started = cached.started,
              .in_memory = cached.in_memory,
              .first_used = parts_.clock.now(),
              .used_by = reader});
    }
    start_waiting();  // what has been read may be displaced
  }
  if (together_ && id == together_->range.at(together_->range.count - 1)) together_.reset();
  return hit;
}

std::optional<Buffer> BlockCache::peek(const BlockId& id) {
  const auto* cached = memory_.peek(id);
  if (cached == nullptr) return std::nullopt;
  return cached->bytes;
}

Presence BlockCache::expect(const BlockId& id, const LoadCause& cause) {
  Memory::EvictedList evicted;
  auto presence = memory_.expect(id, cause.kind, parts_.clock.now(), cause.keep_until, evicted);
  if (auto* cached = memory_.peek(id); cached != nullptr && cached->cause.reader != cause.reader) {
    cached->cause.reader = ReaderId{0};  // no longer for one alone
  }
  take_out(evicted);
  return presence;
}

std::optional<Error> BlockCache::recent_failure(const BlockId& id) const {
  if (stopping_) return Error{ErrorCode::kStopping, id.text()};
  auto found = failures_.find(id);
  if (found == failures_.end() || found->second.until <= parts_.clock.now()) return std::nullopt;
  return found->second.error;
}

// --- starting loads --------------------------------------------------------------------------------------------------

// A small cache takes small bites, or one load would hold all of it.
std::uint32_t BlockCache::extent_blocks_max() const {
  return block_of(std::clamp(memory_.capacity() / 4, kBlockSize, kExtentSizeMax));
}

LoadStart BlockCache::start_load(BlockRange range, const LoadCause& cause) {
  LoadStart start;
  bool first_read = true;
  if (waiting_.size() + range.count > kWaitingMax) drop_given_up();
  BlockRange run{range.shard, range.first, 0};
  auto end_run = [&](std::uint32_t next) {
    if (run.count > 0 && cause.is_prefetch()) start_prefetch(run, cause, start);
    if (run.count > 0 && !cause.is_prefetch()) {
      start.started += run.count;
      start_demand(run, cause, std::exchange(first_read, false));
    }
    run = {range.shard, next, 0};
  };
  for (std::uint32_t i = 0; i < range.count; ++i) {
    auto id = range.at(i);
    bool here = cause.is_prefetch() ? expect(id, cause) != Presence::absent : contains(id);
    if (here) {
      ++start.cached;
    } else if (auto flying = in_flight_.find(id); flying != in_flight_.end()) {
      ++start.joined;
      join(*flying->second, cause);
    } else if (!recent_failure(id)) {
      ++run.count;
      continue;
    } else if (cause.is_prefetch()) {
      refuse({range.shard, id.index, 1}, cause, stopping_ ? RefusedWhy::stopping : RefusedWhy::load_failed, start);
    }
    end_run(id.index + 1);
  }
  end_run(range.end());
  start_waiting();
  refresh_gauges();
  return start;
}

void BlockCache::start_demand(BlockRange run, const LoadCause& cause, bool first_read) {
  metrics_.misses.add(run.count);
  auto now = parts_.clock.now();
  auto bite = std::min(extent_blocks_max(), first_read ? block_of(kFirstReadSize) : block_of(kExtentSizeMax));
  while (run.count > 0) {
    BlockRange extent{run.shard, run.first, std::min(run.count, bite)};
    auto load = enlist(extent, cause);
    for (auto i = extent.first; i < extent.end(); ++i) {
      auto& block = *in_flight_.at({run.shard, i});
      block.demanded = now;
      block.demanded_by = cause.reader;
    }
    if (waiting_.size() < kWaitingMax) {
      waiting_.push_back(std::move(load));
    } else {
      Error error{ErrorCode::kOverloaded, "too many reads of the archive wait, for " + extent.text()};
      for (auto i = extent.first; i < extent.end(); ++i) settle(*load, i, error);
    }
    run.first += extent.count;
    run.count -= extent.count;
    bite = extent_blocks_max();
  }
}

void BlockCache::start_prefetch(BlockRange run, const LoadCause& cause, LoadStart& start) {
  auto now = parts_.clock.now();
  while (run.count > 0) {
    auto slots_max = settings_.loads_in_flight_max * 3 / 4;
    bool slot = running_ < settings_.loads_in_flight_max && running_prefetches_ < slots_max && waiting_.empty();
    if (!slot) return refuse(run, cause, RefusedWhy::slots_full, start);
    auto fits = static_cast<std::uint32_t>(memory_.room(cause.kind, now) / kBlockSize);
    BlockRange extent{run.shard, run.first, std::min({run.count, extent_blocks_max(), fits})};
    if (extent.count == 0) return refuse(run, cause, RefusedWhy::share_full, start);
    Memory::EvictedList evicted;
    bool reserved = memory_.reserve(cause.kind, size_of(extent), now, evicted);
    take_out(evicted);
    if (!reserved) return refuse(run, cause, RefusedWhy::memory_full, start);
    dispatch(enlist(extent, cause));
    start.started += extent.count;
    run.first += extent.count;
    run.count -= extent.count;
  }
}

void BlockCache::refuse(BlockRange run, const LoadCause& cause, RefusedWhy why, LoadStart& start) {
  start.refused += run.count;
  if (start.why == RefusedWhy::none) start.why = why;
  report({.cause = cause, .range = run, .bytes = size_of(run), .kind = OutcomeKind::refused, .why = why});
}

void BlockCache::join(InFlight& block, const LoadCause& cause) {
  if (cause.is_prefetch()) return;
  block.load->asked = parts_.clock.now();
  if (block.demanded) return;
  block.demanded = parts_.clock.now();
  block.demanded_by = cause.reader;
  ++metrics_.misses;
  auto& load = *block.load;
  if (load.cause.is_prefetch()) ++metrics_.joined;
  if (*load.priority == Priority::prefetch) {
    *load.priority = Priority::demand;
    --running_prefetches_;
  }
}

bool BlockCache::subscribe(const BlockId& id, std::shared_ptr<Event> landed) {
  auto found = in_flight_.find(id);
  if (found == in_flight_.end()) return false;
  auto& waiters = found->second->waiters;
  if (std::find(waiters.begin(), waiters.end(), landed) == waiters.end()) waiters.push_back(std::move(landed));
  return true;
}

void BlockCache::keep_together(BlockRange range) {
  if (range.count < 2) return;
  auto now = parts_.clock.now();
  Together asked{range, now + kTogetherMax};
  auto is_over = [now](const std::optional<Together>& kept) { return !kept || kept->until <= now; };
  bool is_his = !is_over(together_) && together_->range == range;
  if (!is_his && !is_over(together_)) {
    if (is_over(next_together_)) next_together_ = asked;
    return;
  }
  bool is_next = is_over(next_together_) || next_together_->range == range;
  if (!is_his && !is_next) return;
  if (is_next) next_together_.reset();
  together_ = asked;
  hold_together();
}

void BlockCache::hold_together() {
  auto now = parts_.clock.now();
  if (!together_ || together_->until <= now) return;
  for (std::uint32_t i = 0; i < together_->range.count; ++i) memory_.hold(together_->range.at(i), now);
}

Task<Result<Buffer>> BlockCache::get(BlockId id, Deadline deadline) {
  auto landed = std::make_shared<Event>(parts_.clock);
  while (true) {
    if (auto hit = find(id)) co_return std::move(hit->bytes);
    if (auto error = recent_failure(id)) co_return fail(std::move(*error));
    start_load({id.shard, id.index, 1}, {.decided = parts_.clock.now()});
    if (!subscribe(id, landed)) continue;  // it failed at once, and that is remembered
    auto asked = parts_.clock.now();
    bool in_time = co_await landed->wait(std::min(deadline, asked + kAskAgain));
    if (!in_time && parts_.clock.now() >= deadline) co_return fail(ErrorCode::kTimeout, "loading " + id.text());
  }
}

PrefetchRoom BlockCache::prefetch_room(LoadKind kind) const {
  if (stopping_ || !waiting_.empty()) return {};
  auto slots =
      std::min(settings_.loads_in_flight_max - running_, settings_.loads_in_flight_max * 3 / 4 - running_prefetches_);
  return {memory_.room(kind, parts_.clock.now()), std::max(0, slots)};
}

// --- loads -----------------------------------------------------------------------------------------------------------

std::shared_ptr<BlockCache::Load> BlockCache::enlist(BlockRange extent, const LoadCause& cause) {
  auto load = std::make_shared<Load>();
  load->range = extent;
  load->cause = cause;
  load->asked = parts_.clock.now();
  load->priority = std::make_shared<Priority>(cause.is_prefetch() ? Priority::prefetch : Priority::demand);
  for (std::uint32_t i = 0; i < extent.count; ++i) {
    auto block = std::make_shared<InFlight>();
    block->load = load;
    bool added = in_flight_.emplace(extent.at(i), std::move(block)).second;
    CHECK(added, "a block was loaded twice at once");
  }
  return load;
}

// In a small cache what nobody comes for would hold its memory for a while, one after the other, while others wait.
bool BlockCache::is_given_up(const Load& load) const { return parts_.clock.now() >= load.asked + kGivenUp; }

void BlockCache::give_up(const Load& load) {
  for (auto i = load.range.first; i < load.range.end(); ++i) {
    auto block = leave_flight(load, i);
    CHECK(block != nullptr, "a load that waits carries all its blocks");
    for (auto& waiter : block->waiters) waiter->notify();
  }
  metrics_.given_up.add(load.range.count);
}

void BlockCache::drop_given_up() {
  std::erase_if(waiting_, [this](const auto& load) {
    bool gone = is_given_up(*load);
    if (gone) give_up(*load);
    return gone;
  });
}

void BlockCache::start_waiting() {
  while (!waiting_.empty() && running_ < settings_.loads_in_flight_max) {
    if (is_given_up(*waiting_.front())) {
      give_up(*waiting_.front());
      waiting_.pop_front();
      continue;
    }
    Memory::EvictedList evicted;
    bool reserved = memory_.reserve(LoadKind::demand, size_of(waiting_.front()->range), parts_.clock.now(), evicted);
    take_out(evicted);
    if (!reserved) break;
    auto load = std::move(waiting_.front());
    waiting_.pop_front();
    dispatch(load);
  }
  if (waiting_.empty() || keeps_starting_ || stopping_) return;
  keeps_starting_ = true;
  tasks_.spawn(keep_starting());
}

Task<void> BlockCache::keep_starting() {
  while (!waiting_.empty() && !stopping_) {
    co_await sleep_until(parts_.clock, parts_.clock.now() + kStartAgain);
    hold_together();
    drop_given_up();
    start_waiting();
    refresh_gauges();
  }
  keeps_starting_ = false;
}

void BlockCache::dispatch(const std::shared_ptr<Load>& load) {
  load->started = parts_.clock.now();
  load->dispatched = true;
  ++running_;
  if (*load->priority == Priority::prefetch) ++running_prefetches_;
  ++*metrics_.loads[index_of(load->cause.kind)];
  tasks_.spawn(run(load));
}

Task<void> BlockCache::run(std::shared_ptr<Load> load) {
  auto deadline = parts_.clock.now() + settings_.load_timeout;
  if (parts_.disk != nullptr) co_await ask_disk(load);
  Result<void> result;
  if (auto missing = still_missing(*load); missing.count > 0) {
    BlockSource::OnBlock on_block = [this, load](std::uint32_t index, Buffer bytes) {
      land(*load, index, std::move(bytes), BlockOrigin::archive);
    };
    result = co_await parts_.source.load(missing, load->priority, std::move(on_block), deadline);
  }
  Error error =
      result ? Error{ErrorCode::kCorruptBlock, "the source left out a block of " + load->range.text()} : result.error();
  if (!result) ++metrics_.failed_loads;
  for (auto i = load->range.first; i < load->range.end(); ++i) settle(*load, i, error);
  --running_;
  if (*load->priority == Priority::prefetch) --running_prefetches_;
  start_waiting();
  refresh_gauges();
}

// A disk that hangs must not be slower than the archive: what comes from it later is not needed any more.
Task<void> BlockCache::ask_disk(std::shared_ptr<Load> load) {
  auto answer = std::make_shared<DiskAnswer>(parts_.clock);
  auto began = parts_.clock.now();
  tasks_.spawn(read_disk(*this, load, answer));
  while (!answer->complete) {
    bool in_time = co_await answer->changed.wait(began + kDiskPatience);
    if (!in_time) break;
  }
  auto missing = std::int64_t{still_missing(*load).count};
  metrics_.disk_misses.add(missing);
  if (answer->asked && !answer->complete && missing > 0) ++metrics_.disk_timeouts;
  metrics_.disk_wait.record(parts_.clock.now() - began);
}

Task<void> BlockCache::read_disk(BlockCache& self, std::shared_ptr<Load> load, std::shared_ptr<DiskAnswer> answer) {
  Tier::OnBlock on_block = [&self, load](std::uint32_t index, Buffer bytes) {
    ++self.metrics_.disk_hits;
    self.metrics_.disk_hit_bytes.add(static_cast<Bytes>(bytes.size()));
    self.land(*load, index, std::move(bytes), BlockOrigin::disk);
  };
  auto range = load->range;
  auto sums = co_await self.parts_.source.sums(range.shard, self.parts_.clock.now() + kDiskPatience);
  if (sums) {
    answer->asked = true;
    co_await self.parts_.disk->find(range, *std::move(sums), std::move(on_block));
  }
  answer->complete = true;
  answer->changed.notify();
}

// From the first block that the load still carries to the last: one request, though it may bring some twice.
BlockRange BlockCache::still_missing(const Load& load) const {
  auto carries = [&](std::uint32_t index) {
    auto found = in_flight_.find({load.range.shard, index});
    return found != in_flight_.end() && found->second->load.get() == &load;
  };
  auto first = load.range.first;
  auto end = load.range.end();
  while (first < end && !carries(first)) ++first;
  while (end > first && !carries(end - 1)) --end;
  return {load.range.shard, first, end - first};
}

// Takes a block out of flight and gives back its reservation: the one place where that happens. Null when this load
// does not carry the block any more.
std::shared_ptr<BlockCache::InFlight> BlockCache::leave_flight(const Load& load, std::uint32_t index) {
  auto found = in_flight_.find({load.range.shard, index});
  if (found == in_flight_.end() || found->second->load.get() != &load) return nullptr;
  auto block = std::move(found->second);
  in_flight_.erase(found);
  if (load.dispatched) memory_.release(load.cause.kind, kBlockSize);
  return block;
}

void BlockCache::land(const Load& load, std::uint32_t index, Buffer bytes, BlockOrigin origin) {
  auto block = leave_flight(load, index);
  if (!block) return;
  CHECK(static_cast<Bytes>(bytes.size()) <= kBlockSize, "a block is larger than a block");
  BlockId id{load.range.shard, index};
  auto now = parts_.clock.now();
  auto size = static_cast<Bytes>(bytes.size());
  metrics_.load_bytes[index_of(load.cause.kind)]->add(size);
  PrefetchOutcome outcome{.cause = load.cause,
                          .range = {id.shard, index, 1},
                          .bytes = size,
                          .kind = OutcomeKind::late,
                          .started = load.started,
                          .in_memory = now,
                          .first_used = block->demanded.value_or(now),
                          .used_by = block->demanded_by};
  if (block->demanded) {
    metrics_.wait.record(now - *block->demanded);
    if (load.cause.is_prefetch()) report(outcome);
  }
  Cached cached{std::move(bytes), load.cause, block->demanded.has_value(), origin, load.started, now};
  auto kind = block->demanded ? LoadKind::demand : load.cause.kind;
  Memory::EvictedList evicted;
  bool inserted = memory_.insert(id, std::move(cached), size, kind, false, now, load.cause.keep_until, evicted);
  take_out(evicted);
  if (!inserted) {  // the capacity has shrunk since
    if (block->demanded) {
      failures_[id] = {{ErrorCode::kOverloaded, "no memory for " + id.text()}, now + settings_.failure_memory};
    } else {
      outcome.kind = OutcomeKind::refused;
      outcome.why = RefusedWhy::memory_full;
      report(outcome);
    }
  }
  for (auto& waiter : block->waiters) waiter->notify();
  refresh_gauges();
}

void BlockCache::settle(const Load& load, std::uint32_t index, const Error& error) {
  auto block = leave_flight(load, index);
  if (!block) return;
  BlockId id{load.range.shard, index};
  auto now = parts_.clock.now();
  if (block->demanded) {
    if (failures_.size() >= kFailuresSweep) {
      std::erase_if(failures_, [now](const auto& entry) { return entry.second.until <= now; });
    }
    failures_[id] = {error, now + settings_.failure_memory};
  }
  if (load.cause.is_prefetch()) {
    report({.cause = load.cause,
            .range = {id.shard, index, 1},
            .bytes = kBlockSize,
            .kind = OutcomeKind::refused,
            .why = stopping_ ? RefusedWhy::stopping : RefusedWhy::load_failed,
            .started = load.started});
  }
  for (auto& waiter : block->waiters) waiter->notify();
}

// --- write-through ---------------------------------------------------------------------------------------------------

bool BlockCache::insert_written(const BlockId& id, Buffer bytes) {
  if (stopping_) return false;
  if (memory_.contains(id)) return true;
  auto now = parts_.clock.now();
  auto size = static_cast<Bytes>(bytes.size());
  Memory::EvictedList evicted;
  Cached cached{std::move(bytes), {.decided = now}, false, BlockOrigin::produced, now, now};
  bool inserted = memory_.insert(id, std::move(cached), size, LoadKind::demand, true, now, {}, evicted);
  take_out(evicted);
  refresh_gauges();
  return inserted;
}

void BlockCache::rename_written(const BlockId& provisional, std::optional<BlockId> final) {
  if (final && memory_.rename(provisional, *final)) return;
  Memory::EvictedList evicted;
  memory_.erase(provisional, evicted);
  take_out(evicted);
  refresh_gauges();
}

// --- leaving ---------------------------------------------------------------------------------------------------------

void BlockCache::drop_behind(BlockRange range, ReaderId reader) {
  for (std::uint32_t i = 0; i < range.count; ++i) {
    const auto* cached = memory_.peek(range.at(i));
    if (cached != nullptr) memory_.drop_behind(range.at(i), reader.value(), cached->cause.reader == reader);
  }
}

void BlockCache::erase(BlockRange range) {
  Memory::EvictedList evicted;
  for (std::uint32_t i = 0; i < range.count; ++i) memory_.erase(range.at(i), evicted);
  if (parts_.disk != nullptr) parts_.disk->erase(range);
  take_out(evicted);
  refresh_gauges();
}

void BlockCache::take_out(Memory::EvictedList& evicted) {
  for (const auto& gone : evicted) {
    ++*metrics_.evictions[index_of(gone.reason)];
    if (gone.used) continue;
    metrics_.waste_bytes.add(gone.size);
    const auto& cached = gone.payload;
    if (!cached.cause.is_prefetch() || cached.awaited) continue;
    report({.cause = cached.cause,
            .range = {gone.key.shard, gone.key.index, 1},
            .bytes = gone.size,
            .kind = OutcomeKind::unused,
            .started = cached.started,
            .in_memory = cached.in_memory});
  }
}

void BlockCache::report(const PrefetchOutcome& outcome) {
  metrics_.outcomes[index_of(outcome.kind)]->add(outcome.range.count);
  metrics_.outcome_bytes[index_of(outcome.kind)]->add(outcome.bytes);
  if (sink_ != nullptr) sink_->on_outcome(outcome);
}

void BlockCache::refresh_gauges() {
  metrics_.bytes.set(memory_.used());
  metrics_.reserved_bytes.set(memory_.reserved());
  metrics_.unread_bytes.set(memory_.unread_prefetched());
  metrics_.capacity_bytes.set(memory_.capacity());
  metrics_.loads_in_flight.set(running_);
  metrics_.demand_waiting.set(static_cast<std::int64_t>(waiting_.size()));
}

}  // namespace forelog::cache
