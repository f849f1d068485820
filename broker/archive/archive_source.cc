#include "broker/archive/archive_source.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace forelog::archive {
namespace {

constexpr Duration kHedgeAfterMin = 10ms;       // a faster answer is not worth a second request
constexpr Duration kAttemptTimeoutMin = 500ms;  // of one request, when little time is left
constexpr std::size_t kLatenciesMin = 20;       // before "usual" means anything

}  // namespace

ArchiveMetrics::ArchiveMetrics(MetricsRegistry& r)
    : get_requests(r, "forelog_archive_get_requests_total", "Ranged reads asked of the archive."),
      get_bytes(r, "forelog_archive_get_bytes_total", "Bytes that came from the archive."),
      retries(r, "forelog_archive_get_retries_total", "Reads of the archive asked for again after a failure."),
      hedges(r, "forelog_archive_hedges_total", "Reads asked for a second time because the first was slow."),
      hedges_won(r, "forelog_archive_hedges_won_total", "Reads of which the second request came first."),
      corrupt_blocks(r, "forelog_archive_corrupt_blocks_total", "Blocks that came with a wrong checksum."),
      failures(r, "forelog_archive_failed_reads_total", "Reads of the archive given up."),
      first_block(r, "forelog_archive_first_block_seconds", "From a request until its first block was whole."),
      whole(r, "forelog_archive_read_seconds", "From a request until its last block was whole.") {}

void RecentLatency::add(Duration latency) { recent_[count_++ % recent_.size()] = latency; }

std::optional<Duration> RecentLatency::usual() const {
  if (count_ < kLatenciesMin) return std::nullopt;
  auto sorted = recent_;
  auto size = static_cast<std::ptrdiff_t>(std::min(count_, recent_.size()));
  auto at = sorted.begin() + size * 95 / 100;
  std::nth_element(sorted.begin(), at, sorted.begin() + size);
  return *at;
}

// One load, shared by the requests made for it. Requests that lost go on until they end, but hand out nothing.
struct ArchiveSource::Extent {
  explicit Extent(env::Clock& clock) : changed(clock) {}

  cache::BlockRange range;
  FooterPtr footer;
  std::string key;
  OnBlock on_block;
  cache::LoadPriority priority;
  Deadline deadline{};
  std::vector<bool> missing;  // one a block of the range
  std::uint32_t missing_count = 0;
  bool over = false;
  int requests = 0;  // on their way
  std::optional<Error> error;
  Event changed;  // a block came, or a request ended

  Bytes size_of(std::uint32_t index) const { return std::min(kBlockSize, footer->size - cache::position_of(index)); }
  bool misses(std::uint32_t index) const { return !over && missing[index - range.first]; }
  std::uint32_t first_missing() const {
    auto at = std::find(missing.begin(), missing.end(), true);
    return range.first + static_cast<std::uint32_t>(at - missing.begin());
  }
  std::uint32_t after_last_missing() const {
    auto at = std::find(missing.rbegin(), missing.rend(), true);
    return range.first + static_cast<std::uint32_t>(missing.rend() - at);
  }
};

namespace {

using Piece = env::ObjectStore::Piece;

// Cuts the pieces of one answer into blocks. Each block gets memory of its own, so that none keeps its neighbours
// alive; what arrives as exactly one block is that block, with the checksum that it came with.
class BlockCutter {
 public:
  BlockCutter(std::uint32_t first, Bytes first_size) : index_(first), size_(static_cast<std::size_t>(first_size)) {}

  // The piece itself, when it is the next block.
  bool is_block(const Piece& piece) const { return filled_ == 0 && piece.bytes.size() == size_; }
  // Takes bytes off the front of `bytes` until a block is whole; yields it then.
  std::optional<Piece> take(Buffer& bytes) {
    if (block_.size() != size_) block_ = MutableBuffer(size_);
    auto size = std::min(bytes.size(), size_ - filled_);
    std::memcpy(block_.data() + filled_, bytes.data(), size);
    filled_ += size;
    bytes = bytes.slice(size);
    if (filled_ < size_) return std::nullopt;
    return Piece(std::move(block_).freeze());
  }
  std::uint32_t index() const { return index_; }
  void next(Bytes size) {
    ++index_;
    size_ = static_cast<std::size_t>(size);
    filled_ = 0;
  }

 private:
  std::uint32_t index_;
  std::size_t size_;
  std::size_t filled_ = 0;
  MutableBuffer block_;  // empty until a part of it comes
};

}  // namespace

ArchiveSource::ArchiveSource(Parts parts, const ArchiveSettings& settings)
    : parts_(parts), settings_(settings), metrics_(parts.metrics), attempts_(parts.cores) {}

ArchiveSource::~ArchiveSource() = default;

Task<void> ArchiveSource::stop() { co_await attempts_.join(); }

Task<Result<void>> ArchiveSource::load(cache::BlockRange range, cache::LoadPriority priority, OnBlock on_block,
                                       Deadline deadline) {
  auto footer = co_await parts_.footers.get(range.shard, std::nullopt, deadline);
  if (!footer) {
    ++metrics_.failures;
    co_return fail(std::move(footer).error());
  }
  if (range.count == 0 || range.end() > (*footer)->block_count() || range.end() < range.first) {
    co_return fail(ErrorCode::kNotFound, range.text() + " of " + std::to_string((*footer)->block_count()));
  }
  auto extent = std::make_shared<Extent>(parts_.clock);
  extent->range = range;
  extent->footer = *std::move(footer);
  extent->key = object_key(settings_.prefix, range.shard);
  extent->on_block = std::move(on_block);
  extent->priority = priority;
  extent->deadline = deadline;
  extent->missing.assign(range.count, true);
  extent->missing_count = range.count;
  auto result = co_await complete(extent, std::move(priority));
  extent->over = true;
  extent->on_block = nullptr;
  if (!result) {
    ++metrics_.failures;
    if (result.error().code != ErrorCode::kStopping) failure_log_.note(range.shard, result.error(), parts_.clock.now());
  }
  co_return result;
}

Task<Result<cache::BlockSums>> ArchiveSource::sums(ShardId shard, Deadline deadline) {
  auto footer = CO_TRY(co_await parts_.footers.get(shard, std::nullopt, deadline));
  const auto* crcs = &footer->block_crcs;
  co_return cache::BlockSums(std::move(footer), crcs);
}

Task<Result<void>> ArchiveSource::complete(std::shared_ptr<Extent> extent, cache::LoadPriority priority) {
  bool was_corrupt = false;
  for (auto pause = settings_.retry_backoff;; pause *= 2) {
    bool in_time = co_await try_once(extent, priority);
    if (extent->missing_count == 0) co_return Result<void>{};
    auto error = extent->error.value_or(Error{ErrorCode::kTimeout, extent->range.text()});
    if (!in_time) co_return fail(std::move(error));
    // Rotten bytes in the archive stay rotten; those that rotted on the way come right the second time.
    bool corrupt = error.code == ErrorCode::kCorruptBlock;
    bool again = corrupt ? !was_corrupt : is_retriable(error.code) && error.code != ErrorCode::kStopping;
    was_corrupt = was_corrupt || corrupt;
    auto jitter = parts_.random.below(static_cast<std::uint64_t>(pause.count()));
    auto at = parts_.clock.now() + pause / 2 + Duration(static_cast<std::int64_t>(jitter));
    if (!again || at >= extent->deadline) co_return fail(std::move(error));
    ++metrics_.retries;
    co_await sleep_until(parts_.clock, at);
  }
}

// One request, and a second one beside it when it is slow. False when the deadline passed.
Task<bool> ArchiveSource::try_once(std::shared_ptr<Extent> extent, cache::LoadPriority priority) {
  extent->error.reset();
  auto missing_before = extent->missing_count;
  ++extent->requests;
  hedges_.note_request();
  attempts_.spawn(attempt(extent, false));
  auto usual = latency_.usual();
  bool hedge = settings_.hedge && usual.has_value();
  // Half more than usual: where all answers take about the same time, nothing is asked for twice.
  auto patience = std::max(kHedgeAfterMin, usual.value_or(0ms) * 3 / 2);
  auto hedge_at = parts_.clock.now() + patience;
  while (extent->missing_count > 0 && extent->requests > 0) {
    if (parts_.clock.now() >= extent->deadline) co_return false;
    bool may_hedge = hedge && extent->missing_count == missing_before;
    if (may_hedge && parts_.clock.now() >= hedge_at) {
      hedge_at = parts_.clock.now() + patience;  // a prefetch may be raised by then
      if (*priority == cache::Priority::demand && hedges_.take()) {
        hedge = false;
        ++metrics_.hedges;
        ++extent->requests;
        attempts_.spawn(attempt(extent, true));
      }
      continue;
    }
    co_await extent->changed.wait(may_hedge ? std::min(hedge_at, extent->deadline) : extent->deadline);
  }
  co_return true;
}

Task<void> ArchiveSource::attempt(std::shared_ptr<Extent> extent, bool hedge) {
  auto began = parts_.clock.now();
  if (extent->missing_count == 0) {
    --extent->requests;
    co_return;
  }
  auto first = extent->first_missing();
  auto from = cache::position_of(first);
  auto size = std::min(cache::position_of(extent->after_last_missing()), extent->footer->size) - from;
  auto cutter = std::make_shared<BlockCutter>(first, extent->size_of(first));
  auto cut = [this, extent, cutter, began, hedge](Piece block) {
    auto index = cutter->index();
    cutter->next(index + 1 < extent->range.end() ? extent->size_of(index + 1) : 0);
    take_block(*extent, index, std::move(block), began, hedge);
  };
  env::ObjectStore::OnPiece on_piece = [this, extent, cutter, cut](Piece piece) {
    metrics_.get_bytes.add(static_cast<Bytes>(piece.bytes.size()));
    if (cutter->index() < extent->range.end() && cutter->is_block(piece)) return cut(std::move(piece));
    for (auto rest = std::move(piece.bytes); !rest.empty() && cutter->index() < extent->range.end();) {
      auto block = cutter->take(rest);
      if (block) cut(*std::move(block));
    }
  };
  ++metrics_.get_requests;
  // Half of what is left, so that a request which is never answered leaves time for another.
  auto patience = std::max((extent->deadline - began) / 2, kAttemptTimeoutMin);
  auto deadline = std::min(extent->deadline, began + patience);
  auto traffic = *extent->priority == cache::Priority::demand ? env::TrafficClass::cold : env::TrafficClass::prefetch;
  auto result = co_await parts_.store.get_range(extent->key, from, size, std::move(on_piece), traffic, deadline);
  if (!result && !extent->error) extent->error = std::move(result).error();
  if (extent->missing_count == 0) metrics_.whole.record(parts_.clock.now() - began);
  --extent->requests;
  extent->changed.notify();
}

void ArchiveSource::take_block(Extent& extent, std::uint32_t index, Piece block, Instant began, bool hedge) {
  if (!extent.misses(index)) return;
  auto size = static_cast<Bytes>(block.bytes.size());
  auto verified = log::verify_block(*extent.footer, index, size, block.crc32c);
  if (!verified) {
    ++metrics_.corrupt_blocks;
    extent.error = Error{ErrorCode::kCorruptBlock, BlockId{extent.range.shard, index}.text() + " in " + extent.key};
    return;
  }
  if (extent.missing_count == extent.range.count) {
    auto latency = parts_.clock.now() - began;
    latency_.add(latency);
    metrics_.first_block.record(latency);
    if (hedge) ++metrics_.hedges_won;
  }
  extent.missing[index - extent.range.first] = false;
  --extent.missing_count;
  extent.on_block(index, std::move(block.bytes));
  extent.changed.notify();
}

}  // namespace forelog::archive
