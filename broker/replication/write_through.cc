#include "broker/replication/write_through.h"

#include "broker/base/crc32c.h"
#include "broker/base/log.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace forelog::replication {
namespace {

constexpr Duration kHeldMax = 1s;  // how long an acknowledgement waits for the disk tier
// Shards that wait for their footer; blocks of older ones are read again when they have it.
constexpr std::size_t kGrowingMax = 256;

}  // namespace

WriteThroughMetrics::WriteThroughMetrics(MetricsRegistry& r)
    : memory_blocks(r, "forelog_write_through_blocks_total", "Produced blocks that a tier holds.", "tier=\"memory\""),
      disk_blocks(r, "forelog_write_through_blocks_total", "Produced blocks that a tier holds.", "tier=\"disk\""),
      missed_memory_blocks(r, "forelog_write_through_missed_blocks_total",
                           "Produced blocks that a tier could not take; their records are acknowledged all the same.",
                           "tier=\"memory\""),
      missed_disk_blocks(r, "forelog_write_through_missed_blocks_total",
                         "Produced blocks that a tier could not take; their records are acknowledged all the same.",
                         "tier=\"disk\""),
      refilled_blocks(r, "forelog_write_through_refilled_blocks_total",
                      "Blocks that were read from a sealed shard's segment because no tier had had them.") {}

WriteThrough::WriteThrough(Context& context, log::WriteThroughTier mode)
    : context_(context), mode_(mode), changed_(context.env.clock), tasks_(context.env.cores) {}

WriteThrough::~WriteThrough() { drop_partial(); }

void WriteThrough::set_mode(log::WriteThroughTier mode) {
  mode_ = mode;
  if (mode == log::WriteThroughTier::none) drop_partial(), growing_.clear();
}

Task<void> WriteThrough::stop() {
  stopping_ = true;
  changed_.notify();
  co_await tasks_.join();
  drop_partial();
}

// --- while a shard grows ---------------------------------------------------------------------------------------------

void WriteThrough::on_append(const ShardId& shard, Bytes position, ByteView batch, Offset end) {
  if (!is_on()) return;
  bool goes_on = !growing_.empty() && growing_.back().shard == shard && growing_.back().end == position;
  if (!goes_on) begin_shard(shard, position);
  if (!growing_.empty()) take(growing_.back(), batch, end);
}

void WriteThrough::begin_shard(const ShardId& shard, Bytes position) {
  if (!growing_.empty()) {
    if (growing_.back().shard != shard) {
      finish_block(growing_.back(), growing_.back().shard.base);  // it was cut: this was its last block
    } else {
      growing_.pop_back();  // it was truncated: nobody will ask for these bytes under any name
    }
  }
  drop_partial();
  if (context_.last_generation == std::numeric_limits<std::int32_t>::min()) return growing_.clear();
  auto provisional = shard;
  provisional.generation = Generation(--context_.last_generation);
  growing_.push_back({shard, provisional, position, {}});
  if (growing_.size() > kGrowingMax) growing_.pop_front();
}

void WriteThrough::take(Growing& growing, ByteView bytes, Offset end) {
  while (!bytes.empty()) {
    auto inside = static_cast<std::size_t>(growing.end % kBlockSize);
    auto size = std::min(bytes.size(), static_cast<std::size_t>(kBlockSize) - inside);
    if (inside == 0 && !partial_ && context_.partial + kBlockSize <= context_.partial_max) {
      context_.partial += kBlockSize;
      partial_.emplace(static_cast<std::size_t>(kBlockSize));
      filled_ = 0;
    }
    if (partial_) {
      std::copy_n(bytes.data(), size, partial_->data() + filled_);
      filled_ += size;
    }
    growing.end += static_cast<Bytes>(size);
    bytes = bytes.subspan(size);
    if (growing.end % kBlockSize == 0) finish_block(growing, end);
  }
}

// The block that ends where the shard ends now is whole.
void WriteThrough::finish_block(Growing& growing, Offset end) {
  if (!partial_ || filled_ == 0) return;
  context_.partial -= kBlockSize;
  auto bytes = std::move(*std::exchange(partial_, std::nullopt)).freeze(filled_);
  BlockId id{growing.provisional, cache::block_of(growing.end - 1)};
  growing.sums[id.index] = crc32c(bytes);
  bool held = context_.cache.insert_written(id, bytes);
  ++(held ? context_.metrics.memory_blocks : context_.metrics.missed_memory_blocks);
  if (mode_ != log::WriteThroughTier::disk) return;
  if (context_.disk == nullptr) return void(++context_.metrics.missed_disk_blocks);
  tasks_.spawn(put_on_disk(*this, id, std::move(bytes), on_their_way_.insert(end)));
}

Task<void> WriteThrough::put_on_disk(WriteThrough& self, BlockId id, Buffer bytes,
                                     std::multiset<Offset>::iterator waits) {
  auto& context = self.context_;
  bool held = co_await context.disk->put(id, std::move(bytes), context.env.clock.now() + kHeldMax);
  ++(held ? context.metrics.disk_blocks : context.metrics.missed_disk_blocks);
  self.on_their_way_.erase(waits);
  self.changed_.notify();
}

void WriteThrough::drop_partial() {
  if (!std::exchange(partial_, std::nullopt)) return;
  context_.partial -= kBlockSize;
  filled_ = 0;
}

Task<void> WriteThrough::wait_held(Offset end, Deadline deadline) {
  while (!stopping_ && !on_their_way_.empty() && *on_their_way_.begin() <= end) {
    bool in_time = co_await changed_.wait(deadline);
    if (!in_time) break;
  }
}

// --- once it is sealed -----------------------------------------------------------------------------------------------

Task<void> WriteThrough::on_sealed(log::LocalLog& log, ShardId shard) {
  if (!is_on()) co_return;
  auto footer = co_await log.footer_of(shard);
  if (!footer) {
    log_line(warn, "write_through_failed", {{"shard", shard}, {"error", footer.error()}});
    co_return;
  }
  auto sums = std::make_shared<const std::vector<std::uint32_t>>((*footer)->block_crcs);
  std::set<std::uint32_t> held;
  auto at = std::find_if(growing_.begin(), growing_.end(), [&](const Growing& each) { return each.shard == shard; });
  if (at != growing_.end()) {
    if (&*at == &growing_.back()) finish_block(*at, shard.base);
    for (const auto& [index, sum] : at->sums) {
      bool same = index < sums->size() && sum == (*sums)[index];
      if (same) held.insert(index);
      context_.cache.rename_written({at->provisional, index},
                                    same ? std::optional(BlockId{shard, index}) : std::nullopt);
    }
    if (context_.disk != nullptr) context_.disk->link(at->provisional, shard.generation, sums);
    growing_.erase(at);
  }
  auto size = (*footer)->block_count();
  if (held.size() < size) co_await refill(log, shard, *std::move(footer), std::move(held));
}

// The newest blocks first: where memory cannot hold all, they are likelier to be asked for.
Task<void> WriteThrough::refill(log::LocalLog& log, ShardId shard, std::shared_ptr<const log::Footer> footer,
                                std::set<std::uint32_t> held) {
  auto content = co_await log.content_of(shard);
  if (!content) co_return;  // it has left the disk already
  auto memory_left = context_.cache.capacity() / 4;
  for (auto index = footer->block_count(); index-- > 0 && is_on();) {
    bool to_disk = mode_ == log::WriteThroughTier::disk && context_.disk != nullptr;
    if (held.contains(index) || (!to_disk && memory_left <= 0)) continue;
    auto from = cache::position_of(index);
    auto read = co_await (*content)->read(from, std::min(kBlockSize, footer->size - from));
    if (!read) co_return;
    auto bytes = *std::move(read);
    ++context_.metrics.refilled_blocks;
    if (memory_left > 0) {
      memory_left -= static_cast<Bytes>(bytes.size());
      bool taken = context_.cache.insert_written({shard, index}, bytes);
      ++(taken ? context_.metrics.memory_blocks : context_.metrics.missed_memory_blocks);
    }
    if (!to_disk) continue;
    auto put = context_.disk->put({shard, index}, std::move(bytes), context_.env.clock.now() + kHeldMax);
    bool kept = co_await std::move(put);
    ++(kept ? context_.metrics.disk_blocks : context_.metrics.missed_disk_blocks);
  }
}

}  // namespace forelog::replication
