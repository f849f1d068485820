#include "broker/archive/footer_cache.h"

#include "broker/base/log.h"

#include <algorithm>
#include <utility>

namespace forelog::archive {
namespace {

constexpr Duration kRetryPause = 20ms;  // before the first retry; doubles, with jitter
constexpr std::size_t kFailuresSweep = 256;

Bytes memory_of(const log::Footer& footer) {
  return static_cast<Bytes>(sizeof(footer) + footer.epochs.size() * sizeof(log::EpochStart) +
                            footer.index.size() * sizeof(log::IndexEntry) +
                            footer.block_crcs.size() * sizeof(std::uint32_t) +
                            footer.aborted.size() * sizeof(log::AbortedTransaction) + footer.producer_snapshot.size());
}

}  // namespace

FooterCache::FooterCache(Parts parts, std::string prefix, Bytes memory, Duration load_timeout, Duration failure_memory)
    : parts_(parts),
      prefix_(std::move(prefix)),
      memory_(memory),
      load_timeout_(load_timeout),
      failure_memory_(failure_memory),
      catalog_loads_(parts.metrics, "forelog_index_loads_total", "Indexes of archived shards loaded.",
                     "from=\"catalog\""),
      archive_loads_(parts.metrics, "forelog_index_loads_total", "Indexes of archived shards loaded.",
                     "from=\"archive\""),
      failed_loads_(parts.metrics, "forelog_index_failed_loads_total",
                    "Indexes of archived shards that could not be loaded."),
      bytes_(parts.metrics, "forelog_index_bytes", "Memory for indexes of archived shards."),
      tasks_(parts.cores) {}

FooterCache::~FooterCache() = default;

Task<void> FooterCache::stop() {
  stopping_ = true;
  co_await tasks_.join();
}

FooterPtr FooterCache::find(const ShardId& shard) {
  auto found = index_.find(shard);
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.end(), entries_, found->second);
  return found->second->footer;
}

Instant FooterCache::in_memory_since(const ShardId& shard) const {
  auto found = index_.find(shard);
  return found == index_.end() ? Instant{} : found->second->in_memory;
}

std::optional<Error> FooterCache::recent_failure(const ShardId& shard) const {
  if (stopping_) return Error{ErrorCode::kStopping, shard.text()};
  auto found = failures_.find(shard);
  if (found == failures_.end() || found->second.until <= parts_.clock.now()) return std::nullopt;
  return found->second.error;
}

void FooterCache::load(const ShardId& shard, std::optional<ObjectShape> shape, std::shared_ptr<Event> landed) {
  if (index_.contains(shard) || recent_failure(shard)) {
    if (landed) landed->notify();
    return;
  }
  auto [at, added] = loading_.try_emplace(shard);
  if (landed) at->second.waiters.push_back(std::move(landed));
  if (added) tasks_.spawn(run(shard, shape));
}

Task<Result<FooterPtr>> FooterCache::get(ShardId shard, std::optional<ObjectShape> shape, Deadline deadline) {
  auto landed = std::make_shared<Event>(parts_.clock);
  while (true) {
    if (auto footer = find(shard)) co_return footer;
    if (auto error = recent_failure(shard)) co_return fail(std::move(*error));
    load(shard, shape, landed);
    bool in_time = co_await landed->wait(deadline);
    if (!in_time) co_return fail(ErrorCode::kTimeout, "reading the index of " + shard.text());
  }
}

Task<void> FooterCache::run(ShardId shard, std::optional<ObjectShape> shape) {
  auto footer = co_await read(shard, shape);
  if (footer) {
    insert(std::move(*footer));
  } else {
    ++failed_loads_;
    auto now = parts_.clock.now();
    if (footer.error().code != ErrorCode::kStopping) failure_log_.note(shard, footer.error(), now);
    if (failures_.size() >= kFailuresSweep) {
      std::erase_if(failures_, [now](const auto& entry) { return entry.second.until <= now; });
    }
    failures_[shard] = {std::move(footer).error(), now + failure_memory_};
  }
  auto loading = loading_.extract(shard);
  for (auto& waiter : loading.mapped().waiters) waiter->notify();
}

Task<Result<FooterPtr>> FooterCache::read(ShardId shard, std::optional<ObjectShape> shape) {
  auto kept = co_await parts_.catalog.footer(shard);
  if (kept && kept->shard == shard) {
    ++catalog_loads_;
    co_return std::make_shared<const log::Footer>(*std::move(kept));
  }
  auto deadline = parts_.clock.now() + load_timeout_;
  auto key = object_key(prefix_, shard);
  bool was_corrupt = false;
  for (auto pause = kRetryPause;; pause *= 2) {
    auto footer = co_await read_footer(parts_.store, key, shard, shape, deadline);
    if (footer) {
      ++archive_loads_;
      log::Catalog::Change change(shard.partition);
      auto encoded = footer->encode();
      change.put_footer(shard, encoded);
      auto written = co_await parts_.catalog.commit(std::move(change), env::Durability::written);
      if (!written) log_line(warn, "index_not_kept", {{"shard", shard}, {"error", written.error()}});
      co_return std::make_shared<const log::Footer>(*std::move(footer));
    }
    bool corrupt = footer.error().code == ErrorCode::kCorruptFile;
    bool stopped = footer.error().code == ErrorCode::kStopping;
    bool again = (is_retriable(footer.error().code) && !stopped) || (corrupt && !was_corrupt);
    was_corrupt = was_corrupt || corrupt;
    auto wait =
        pause / 2 + Duration(static_cast<std::int64_t>(parts_.random.below(static_cast<std::uint64_t>(pause.count()))));
    if (!again || stopping_ || parts_.clock.now() + wait >= deadline) co_return fail(std::move(footer).error());
    co_await sleep_until(parts_.clock, parts_.clock.now() + wait);
  }
}

void FooterCache::note_unreadable(const ShardId& shard, const Error& error) {
  failure_log_.note(shard, error, parts_.clock.now());
}

void FooterCache::insert(FooterPtr footer) {
  auto shard = footer->shard;
  if (index_.contains(shard)) return;
  auto size = memory_of(*footer);
  index_[shard] = entries_.insert(entries_.end(), {shard, std::move(footer), size, parts_.clock.now()});
  used_ += size;
  while (used_ > memory_ && entries_.size() > 1) {  // the newest one stays: somebody waits for it
    used_ -= entries_.front().size;
    index_.erase(entries_.front().shard);
    entries_.pop_front();
  }
  bytes_.set(used_);
}

void FooterCache::forget(const ShardId& shard) {
  auto found = index_.find(shard);
  if (found == index_.end()) return;
  used_ -= found->second->size;
  entries_.erase(found->second);
  index_.erase(found);
  bytes_.set(used_);
}

}  // namespace forelog::archive
