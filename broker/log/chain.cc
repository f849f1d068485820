#include "broker/log/chain.h"

#include <algorithm>

namespace forelog::log {
namespace {

bool begins_after(Offset offset, const ShardDescriptor& shard) { return offset < shard.base; }

std::string range_text(const ShardDescriptor& shard) {
  return "[" + std::to_string(shard.base.value()) + ", " + std::to_string(shard.end.value()) + ")";
}

}  // namespace

std::string ShardDescriptor::text() const {
  std::string out = range_text(*this);
  if (generation != Generation(0)) out += " generation " + std::to_string(generation.value());
  out += " " + std::string(name_of(state));
  if (archived && state != ShardState::archived) out += " archived";
  if (local) out += " local";
  return out + " " + std::to_string(size) + " bytes";
}

Result<Chain> Chain::make(PartitionKey partition, std::vector<ShardDescriptor> shards) {
  auto wrong = [&](const ShardDescriptor& shard, std::string_view what) {
    return fail(ErrorCode::kCorruptFile, partition.text() + ": shard " + range_text(shard) + " " + std::string(what));
  };
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const auto& shard = shards[i];
    bool last = i + 1 == shards.size();
    if (shard.base.value() < 0 || shard.end < shard.base) return wrong(shard, "has impossible offsets");
    if (!last && shard.end == shard.base) return wrong(shard, "is empty, and not the last");
    if (!last && shard.state == ShardState::open) return wrong(shard, "is open, and not the last");
    if (!last && shards[i + 1].base > shard.end) return wrong(shard, "is followed by a gap");
    if (!last && shards[i + 1].base < shard.end) return wrong(shard, "overlaps the next");
  }
  Chain out(partition);
  out.shards_ = std::move(shards);
  return out;
}

Offset Chain::start() const { return shards_.empty() ? Offset(0) : shards_.front().base; }

Offset Chain::end() const { return shards_.empty() ? Offset(0) : shards_.back().end; }

const ShardDescriptor* Chain::find(Offset offset) const {
  auto at = std::upper_bound(shards_.begin(), shards_.end(), offset, begins_after);
  if (at == shards_.begin()) return nullptr;
  --at;
  bool at_open_end = at->state == ShardState::open && offset == at->end;
  return at->contains(offset) || at_open_end ? &*at : nullptr;
}

const ShardDescriptor* Chain::find(ShardId id) const {
  if (id.partition != partition_) return nullptr;
  auto at = std::upper_bound(shards_.begin(), shards_.end(), id.base, begins_after);
  if (at == shards_.begin()) return nullptr;
  --at;
  return at->base == id.base && at->generation == id.generation ? &*at : nullptr;
}

ShardDescriptor* Chain::find(ShardId id) {
  return const_cast<ShardDescriptor*>(std::as_const(*this).find(id));
}  // NOLINT

const ShardDescriptor* Chain::open() const {
  return !shards_.empty() && shards_.back().state == ShardState::open ? &shards_.back() : nullptr;
}

ShardDescriptor* Chain::open() { return const_cast<ShardDescriptor*>(std::as_const(*this).open()); }  // NOLINT

void Chain::append(ShardDescriptor shard) {
  CHECK(shard.end >= shard.base);
  if (!shards_.empty()) {
    CHECK(shards_.back().state != ShardState::open, "cut a shard before another begins");
    CHECK(shards_.back().end > shards_.back().base, "only the last shard may be empty");
    CHECK(shards_.back().end == shard.base, "a chain has no gap and no overlap");
  }
  shards_.push_back(std::move(shard));
}

Result<void> Chain::replace(ShardDescriptor shard) {
  auto first = std::find_if(shards_.begin(), shards_.end(), [&](const auto& s) { return s.base == shard.base; });
  // What it was made from may have lost its first shards to retention.
  if (first == shards_.end() && !empty() && shard.base < start()) first = shards_.begin();
  auto last = first;
  while (last != shards_.end() && last->end < shard.end) ++last;
  if (last == shards_.end() || last->end != shard.end || shard.end == shard.base) {
    return fail(ErrorCode::kConflict, partition_.text() + ": no run of shards is " + range_text(shard));
  }
  for (auto at = first; at <= last; ++at) {
    if (at->generation >= shard.generation || at->state == ShardState::open || at->state == ShardState::cut) {
      return fail(ErrorCode::kConflict, partition_.text() + ": " + at->text() + " is not older and sealed");
    }
  }
  *first = std::move(shard);
  shards_.erase(first + 1, last + 1);
  return {};
}

std::vector<ShardDescriptor> Chain::drop_front(Offset offset) {
  std::vector<ShardDescriptor> out;
  auto keep = shards_.begin();
  while (keep != shards_.end() && keep + 1 != shards_.end() && keep->end <= offset) ++keep;
  out.assign(std::make_move_iterator(shards_.begin()), std::make_move_iterator(keep));
  shards_.erase(shards_.begin(), keep);
  return out;
}

std::vector<ShardDescriptor> Chain::drop_back(Offset offset) {
  std::vector<ShardDescriptor> out;
  while (shards_.size() > 1 && shards_.back().base >= offset) {
    out.insert(out.begin(), std::move(shards_.back()));
    shards_.pop_back();
  }
  if (!shards_.empty() && shards_.back().end > offset) {
    auto& last = shards_.back();
    last.end = std::max(offset, last.base);
    last.state = ShardState::open;
    last.footer_size = 0;
    last.sealed_ms = 0;
    std::erase_if(last.epochs, [&](const EpochStart& e) { return e.start >= last.end; });
  }
  return out;
}

std::string Chain::text() const {
  std::string out;
  for (const auto& shard : shards_) out += shard.text() + "\n";
  return out;
}

}  // namespace forelog::log
