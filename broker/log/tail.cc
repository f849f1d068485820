#include "broker/log/tail.h"

#include "broker/base/check.h"

#include <algorithm>

namespace forelog::log {
namespace {

// Below this a batch is copied: otherwise a few hundred bytes would pin the frame they came in, and gather writes would
// be made of crumbs.
constexpr std::size_t kSmall = 4096;
constexpr std::size_t kChunkMin = 8 << 10;
constexpr std::size_t kChunkMax = 64 << 10;

}  // namespace

void TailBudget::press() {
  // Written bytes go first, from the partitions that were quiet longest.
  for (auto at = tails_.begin(); at != tails_.end() && used_ > bytes_max_;) {
    auto* tail = *at++;  // dropping its last bytes takes it off the list
    tail->drop_written(used_ - bytes_max_);
  }
  if (used_ <= bytes_max_) return;
  auto missing = used_ - bytes_max_;
  for (auto* tail : tails_) {
    if (missing <= 0) break;
    missing -= tail->unwritten_;
    if (tail->unwritten_ == 0 || tail->asked_) continue;
    tail->asked_ = true;
    tail->write_wanted_();
  }
}

Tail::Tail(TailBudget& budget, std::function<void()> write_wanted)
    : budget_(budget), write_wanted_(std::move(write_wanted)) {}

Tail::~Tail() { clear(); }

Buffer Tail::copy_small(const Buffer& bytes) {
  if (chunk_.whole.size() - chunk_.used < bytes.size()) {
    auto size = std::clamp(chunk_.whole.size() * 2, kChunkMin, kChunkMax);
    MutableBuffer room(size);
    chunk_.data = room.data();
    chunk_.whole = std::move(room).freeze();
    chunk_.used = 0;
  }
  // Only bytes that no slice covers yet are written, so readers of earlier slices see nothing change.
  std::memcpy(chunk_.data + chunk_.used, bytes.data(), bytes.size());
  auto held = chunk_.whole.slice(chunk_.used, bytes.size());
  chunk_.used += bytes.size();
  return held;
}

Buffer Tail::append(Offset first, Offset end, Offset shard, std::uint32_t position, Buffer bytes) {
  if (bytes.size() < kSmall) bytes = copy_small(bytes);
  entries_.push_back({first, end, shard, position, bytes});
  auto size = static_cast<Bytes>(bytes.size());
  unwritten_ += size;
  charge(size);
  return bytes;
}

void Tail::charge(Bytes bytes) {
  bytes_ += bytes;
  budget_.used_ += bytes;
  if (place_) budget_.tails_.erase(*place_);
  place_ = budget_.tails_.insert(budget_.tails_.end(), this);
  if (budget_.used_ > budget_.bytes_max_) budget_.press();
}

void Tail::uncharge(Bytes bytes) {
  bytes_ -= bytes;
  budget_.used_ -= bytes;
  if (bytes_ > 0 || !place_) return;
  budget_.tails_.erase(*place_);
  place_.reset();
}

Offset Tail::start() const {
  CHECK(!empty());
  return entries_[first_].first;
}

Tail::Unwritten Tail::next_unwritten(Bytes size_max) const {
  Unwritten out;
  Bytes size = 0;
  for (auto i = unwritten_at_; i < entries_.size(); ++i) {
    const auto& entry = entries_[i];
    if (out.batches > 0 && (entry.shard != out.shard || size + static_cast<Bytes>(entry.bytes.size()) > size_max))
      break;
    if (out.batches == 0) out.shard = entry.shard, out.position = entry.position;
    size += static_cast<Bytes>(entry.bytes.size());
    out.bytes.push_back(entry.bytes);
    out.end = entry.end;
    ++out.batches;
  }
  return out;
}

void Tail::mark_written(Offset end) {
  while (unwritten_at_ < entries_.size() && entries_[unwritten_at_].end <= end) {
    unwritten_ -= static_cast<Bytes>(entries_[unwritten_at_++].bytes.size());
  }
  asked_ = false;
  if (budget_.used_ > budget_.bytes_max_) drop_written(budget_.used_ - budget_.bytes_max_);
}

Bytes Tail::drop_written(Bytes wanted) {
  Bytes dropped = 0;
  auto at = first_;
  while (at < unwritten_at_ && dropped < wanted) dropped += static_cast<Bytes>(entries_[at++].bytes.size());
  drop_front(at - first_);
  return dropped;
}

void Tail::drop_front(std::size_t count) {
  Bytes dropped = 0;
  for (std::size_t i = 0; i < count; ++i) {
    dropped += static_cast<Bytes>(entries_[first_].bytes.size());
    entries_[first_++].bytes = {};
  }
  if (first_ == entries_.size()) {
    // A quiet partition keeps nothing, not even room for later.
    entries_ = {};
    first_ = unwritten_at_ = 0;
    chunk_ = {};
  } else if (first_ > entries_.size() / 2) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(first_));
    unwritten_at_ -= first_;
    first_ = 0;
  }
  if (dropped > 0) uncharge(dropped);
}

std::optional<BatchRun> Tail::read(Offset from, Offset limit, Bytes size_max, bool at_least_one) const {
  if (empty() || from < start() || from >= entries_.back().end) return std::nullopt;
  auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first_);
  auto at = std::upper_bound(begin, entries_.end(), from, [](Offset offset, const Entry& e) { return offset < e.end; });
  BatchRun out;
  out.start = out.end = from;
  Bytes size = 0;
  for (auto shard = at->shard; at != entries_.end() && at->shard == shard && at->first < limit; ++at) {
    bool first = out.bytes.empty();
    size += static_cast<Bytes>(at->bytes.size());
    if (size > size_max && !(first && at_least_one)) break;
    if (first) out.start = at->first;
    out.bytes.push_back(at->bytes);
    out.end = at->end;
  }
  return out;
}

void Tail::truncate(Offset end) {
  Bytes dropped = 0;
  while (!empty() && entries_.back().end > end) {
    auto size = static_cast<Bytes>(entries_.back().bytes.size());
    dropped += size;
    if (unwritten_at_ == entries_.size())
      --unwritten_at_;
    else
      unwritten_ -= size;
    entries_.pop_back();
  }
  if (dropped > 0) uncharge(dropped);
  drop_front(0);
}

void Tail::clear() {
  unwritten_at_ = entries_.size();
  unwritten_ = 0;
  drop_front(entries_.size() - first_);
}

}  // namespace forelog::log
