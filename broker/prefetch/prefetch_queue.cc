#include "broker/prefetch/prefetch_queue.h"

#include "broker/base/check.h"

#include <algorithm>
#include <cmath>

namespace forelog::prefetch {

PrefetchQueue::PrefetchQueue(std::size_t entries_max, std::size_t lane_max)
    : entries_max_(entries_max), lane_max_(lane_max) {
  CHECK(entries_max > 0 && lane_max > 0);
}

PrefetchQueue::Rank PrefetchQueue::rank(const QueuedExtent& entry) {
  constexpr double kReadersCounted = 8;
  double readers = std::clamp(static_cast<double>(entry.readers), 1.0, kReadersCounted);
  return std::log2(std::max(entry.cause.score, 1e-6) * readers) - to_seconds(entry.needed_by.time_since_epoch());
}

std::vector<QueuedExtent> PrefetchQueue::offer(QueuedExtent wanted) {
  std::vector<QueuedExtent> out;
  const ShardId shard = wanted.extent.shard;
  auto block = wanted.extent.first;
  const auto end = wanted.extent.end();
  while (block < end) {
    auto& lane = lane_of(shard);
    // The extent that holds `block`, or else the first one behind it.
    auto next = lane.by_block.upper_bound(block);
    if (next != lane.by_block.begin()) {
      auto held = std::prev(next);
      const auto& extent = lane.waiting.at(held->second).extent;
      if (block < extent.end()) {
        block = extent.end();
        merge(lane, held->second, wanted);
        continue;
      }
    }
    auto gap_end = std::min(end, (block / kExtentBlocksMax + 1) * kExtentBlocksMax);
    if (next != lane.by_block.end()) gap_end = std::min(gap_end, next->first);
    QueuedExtent gap = wanted;
    gap.extent = {shard, block, gap_end - block};
    block = gap_end;
    if (extend(lane, gap)) continue;
    insert(lane, std::move(gap));
    if (lane.waiting.size() > lane_max_) {
      auto lowest = std::ranges::min_element(lane.waiting, {},
                                             [](const auto& e) { return std::pair(e.second.cause.score, e.first); });
      out.push_back(take(shard, lowest->first));
    } else if (by_score_.size() > entries_max_) {
      auto [score, at, where] = *by_score_.begin();
      out.push_back(take(where, at));
    }
  }
  return out;
}

void PrefetchQueue::merge(Lane& lane, Sequence at, const QueuedExtent& with) {
  auto& entry = lane.waiting.at(at);
  const ShardId shard = entry.extent.shard;
  leave_contest(lane);
  lane.by_rank.erase({rank(entry), at});
  by_score_.erase({entry.cause.score, at, shard});
  bool same_asker = entry.reader == with.reader && entry.cause.plan == with.cause.plan;
  if (with.cause.score > entry.cause.score) entry.cause = with.cause;
  entry.readers =
      same_asker
          ? std::max(entry.readers, with.readers)
          : static_cast<std::int32_t>(std::min<std::int64_t>(std::int64_t{entry.readers} + with.readers, 1'000'000));
  entry.needed_by = std::min(entry.needed_by, with.needed_by);
  entry.worthless_after = std::max(entry.worthless_after, with.worthless_after);
  if (entry.reader != with.reader) entry.reader = ReaderId{0};
  if (with.keep_until) entry.keep_until = std::max(entry.keep_until.value_or(*with.keep_until), *with.keep_until);
  by_score_.insert({entry.cause.score, at, shard});
  lane.by_rank.insert({rank(entry), at});
  enter_contest(shard, lane);
}

// Requests cost money: what continues an extent of the same asker, and still fits into one GET, joins it.
bool PrefetchQueue::extend(Lane& lane, const QueuedExtent& gap) {
  auto next = lane.by_block.lower_bound(gap.extent.first);
  if (next == lane.by_block.begin() || gap.extent.first % kExtentBlocksMax == 0) return false;
  auto at = std::prev(next)->second;
  auto& before = lane.waiting.at(at);
  bool continues = before.extent.end() == gap.extent.first && before.cause.plan == gap.cause.plan &&
                   before.cause.reason == gap.cause.reason && before.reader == gap.reader;
  if (!continues) return false;
  before.extent.count += gap.extent.count;
  blocks_ += gap.extent.count;
  merge(lane, at, gap);
  return true;
}

void PrefetchQueue::insert(Lane& lane, QueuedExtent entry) {
  auto at = next_++;
  const ShardId shard = entry.extent.shard;
  leave_contest(lane);
  lane.by_block.emplace(entry.extent.first, at);
  lane.by_rank.insert({rank(entry), at});
  by_score_.insert({entry.cause.score, at, shard});
  blocks_ += entry.extent.count;
  lane.waiting.emplace(at, std::move(entry));
  enter_contest(shard, lane);
}

QueuedExtent PrefetchQueue::take(const ShardId& shard, Sequence at) {
  auto found = lanes_.find(shard);
  CHECK(found != lanes_.end());
  auto& lane = found->second;
  auto node = lane.waiting.extract(at);
  CHECK(!node.empty());
  auto entry = std::move(node.mapped());
  leave_contest(lane);
  lane.by_block.erase(entry.extent.first);
  lane.by_rank.erase({rank(entry), at});
  by_score_.erase({entry.cause.score, at, shard});
  blocks_ -= entry.extent.count;
  enter_contest(shard, lane);
  if (lane.waiting.empty()) lanes_.erase(found);
  return entry;
}

void PrefetchQueue::leave_contest(const Lane& lane) {
  if (!lane.by_rank.empty()) contest_.erase(*lane.by_rank.rbegin());
}

void PrefetchQueue::enter_contest(const ShardId& shard, const Lane& lane) {
  if (!lane.by_rank.empty()) contest_.emplace(*lane.by_rank.rbegin(), shard);
}

std::optional<PrefetchQueue::Next> PrefetchQueue::next() const {
  if (contest_.empty()) return std::nullopt;
  const auto& lane = lanes_.at(contest_.rbegin()->second);
  const auto& urgent = lane.waiting.at(lane.by_rank.rbegin()->at);
  return Next{lane.waiting.begin()->second.extent, urgent.needed_by};
}

Bytes PrefetchQueue::room_for(const Next& next, Bytes staging, Bytes capacity, Duration latency, Instant now) {
  constexpr int kLoadsAhead = 8;     // what is wanted within so many times the latency is wanted soon,
  constexpr Duration kSoon = 500ms;  // or within this: nobody foretells a moment better
  // A small cache loads an extent in pieces.
  auto size = std::min(static_cast<Bytes>(next.extent.count) * kBlockSize, capacity / 16);
  bool later = next.needed_by - now > std::max<Duration>(kLoadsAhead * latency, kSoon);
  return std::max(size, kBlockSize) + (later ? staging / 2 : 0);
}

std::optional<QueuedExtent> PrefetchQueue::pop(Instant now, std::vector<QueuedExtent>& late) {
  while (!contest_.empty()) {
    const ShardId shard = contest_.rbegin()->second;
    auto entry = take(shard, lanes_.at(shard).waiting.begin()->first);
    if (entry.worthless_after >= now) return entry;
    late.push_back(std::move(entry));
  }
  return std::nullopt;
}

std::vector<QueuedExtent> PrefetchQueue::remove_if(const std::function<bool(const QueuedExtent&)>& unwanted) {
  std::vector<std::pair<ShardId, Sequence>> going;
  for (const auto& [shard, lane] : lanes_) {
    for (const auto& [at, entry] : lane.waiting) {
      if (unwanted(entry)) going.emplace_back(shard, at);
    }
  }
  std::vector<QueuedExtent> out;
  out.reserve(going.size());
  for (const auto& [shard, at] : going) out.push_back(take(shard, at));
  return out;
}

}  // namespace forelog::prefetch
