// Runs of batches that may straddle slices, as files and archived blocks hand them out.
#include "broker/log/batch.h"

#include <algorithm>
#include <array>

namespace forelog::log {
namespace {

// Walks a run slice by slice. Copies only what straddles.
class Cursor {
 public:
  explicit Cursor(const Slices& run) : run_(run) { settle(); }

  std::size_t position() const { return position_; }
  bool at_end() const { return slice_ == run_.size(); }

  // The next `size` bytes without moving on: in place when one slice has them, else copied into `room`. Empty when the
  // run ends before.
  ByteView peek(std::size_t size, std::vector<std::byte>& room) const {
    if (at_end()) return {};
    const auto& current = run_[slice_];
    if (current.size() - at_ >= size) return current.view().subspan(at_, size);
    room.clear();
    auto offset = at_;
    for (auto i = slice_; i < run_.size() && room.size() < size; ++i, offset = 0) {
      auto part = run_[i].view().subspan(offset, std::min(run_[i].size() - offset, size - room.size()));
      room.insert(room.end(), part.begin(), part.end());
    }
    return room.size() == size ? ByteView(room) : ByteView();
  }

  // Moves over `size` bytes, adding them to `taken` if there is one; neighbours in one slice stay one slice.
  void advance(std::size_t size, Slices* taken) {
    position_ += size;
    while (size > 0) {
      const auto& current = run_[slice_];
      auto step = std::min(size, current.size() - at_);
      if (taken) add(*taken, current.slice(at_, step));
      at_ += step;
      size -= step;
      settle();
    }
  }

 private:
  void settle() {
    while (slice_ < run_.size() && at_ == run_[slice_].size()) ++slice_, at_ = 0;
  }
  void add(Slices& taken, Buffer part) const {
    if (!taken.empty() && at_ > 0 && taken.back().data() + taken.back().size() == part.data()) {
      auto joined = taken.back().size() + part.size();
      taken.back() = run_[slice_].slice(at_ + part.size() - joined, joined);
    } else {
      taken.push_back(std::move(part));
    }
  }

  const Slices& run_;
  std::size_t slice_ = 0;
  std::size_t at_ = 0;
  std::size_t position_ = 0;
};

// What `take_batches` decides on; the whole batch need not be there.
struct Head {
  Offset base, end;
  std::size_t size = 0;
};

Result<std::optional<Head>> head_at(const Cursor& cursor, std::vector<std::byte>& room) {
  auto bytes = cursor.peek(kBatchHeaderSize, room);
  if (bytes.empty()) return std::nullopt;
  auto size = BatchView::size_of(bytes);
  if (!size || bytes[16] != std::byte{2}) {
    return fail(ErrorCode::kCorruptMessage, "no batch at position " + std::to_string(cursor.position()));
  }
  std::int64_t base = 0;
  std::int32_t delta = 0;
  std::memcpy(&base, bytes.data(), sizeof base);
  std::memcpy(&delta, bytes.data() + 23, sizeof delta);
  base = std::byteswap(base);
  delta = std::byteswap(delta);
  if (base < 0 || delta < 0 || base > INT64_MAX - delta - 1) {
    return fail(ErrorCode::kCorruptMessage, "impossible offsets at position " + std::to_string(cursor.position()));
  }
  return Head{Offset(base), Offset(base + delta + 1), *size};
}

}  // namespace

Result<void> for_each_batch(const Slices& slices, const std::function<bool(BatchView)>& visit) {
  Cursor cursor(slices);
  std::vector<std::byte> room;
  while (!cursor.at_end()) {
    auto head = TRY(head_at(cursor, room));
    if (!head) return {};
    auto bytes = cursor.peek(head->size, room);
    if (bytes.empty()) return {};
    auto batch = TRY(BatchView::parse(bytes));
    if (!visit(batch)) return {};
    cursor.advance(head->size, nullptr);
  }
  return {};
}

Result<BatchRun> take_batches(const Slices& run, Offset from, Offset limit, Bytes size_max, bool at_least_one) {
  BatchRun out;
  out.start = out.end = from;
  Cursor cursor(run);
  std::vector<std::byte> room;
  auto total = static_cast<std::size_t>(total_size(run));
  std::size_t taken = 0;
  while (!cursor.at_end()) {
    auto head = TRY(head_at(cursor, room));
    bool skip = head && head->end <= from;
    if (head && head->base >= limit) break;
    if (!head || head->size > total - cursor.position()) {
      if (out.bytes.empty()) out.needed = head ? head->size : kBatchHeaderSize;
      if (skip) out.skipped += head->size, out.needed = kBatchHeaderSize;
      break;
    }
    if (skip) {
      out.skipped += head->size;
      cursor.advance(head->size, nullptr);
      continue;
    }
    bool first = out.bytes.empty();
    if (static_cast<Bytes>(taken + head->size) > size_max && !(first && at_least_one)) break;
    if (first) out.start = head->base;
    cursor.advance(head->size, &out.bytes);
    taken += head->size;
    out.end = head->end;
  }
  return out;
}

}  // namespace forelog::log
