// Shards of a higher generation take the place of those they were made from.
#include "broker/base/log.h"
#include "broker/log/local_log_impl.h"

#include <algorithm>

namespace forelog::log {

Task<Result<std::vector<ShardDescriptor>>> LocalLog::Impl::replace_shards(ShardDescriptor next, Buffer footer) {
  auto decoded = CO_TRY(Footer::decode(footer));
  auto id = chain.id_of(next);
  if (decoded.shard != id || decoded.end != next.end || decoded.size != next.size) {
    co_return fail(ErrorCode::kConflict, id.text() + " is not what its footer says");
  }
  auto changed = chain;
  CO_TRY(changed.replace(next));
  std::vector<ShardDescriptor> replaced;
  for (const auto& shard : chain.shards()) {
    if (shard.base >= next.base && shard.end <= next.end) replaced.push_back(shard);
  }
  auto next_state = state;
  next_state.generation = std::max(next_state.generation.value_or(Generation(0)), next.generation);
  Catalog::Change change(partition);
  for (const auto& shard : replaced) change.erase_shard(chain.id_of(shard));
  change.put_shard(next).put_footer(id, footer).put_state(next_state);
  // One batch of the store: after a crash the catalog has either the old shards or the new one.
  CO_TRY(co_await context.catalog.commit(std::move(change), env::Durability::synced));

  state.generation = next_state.generation;
  next.access = {};
  for (const auto& shard : replaced) {
    const auto* live = chain.find(chain.id_of(shard));  // reads were counted meanwhile
    CHECK(live != nullptr, "shards go only in turn");
    next.access.reads += live->access.reads;
    next.access.bytes += live->access.bytes;
    next.access.last_read_ms = std::max(next.access.last_read_ms, live->access.last_read_ms);
  }
  auto done = chain.replace(std::move(next));
  CHECK(done.has_value(), "shards change only in turn");
  for (const auto& shard : replaced) {
    auto old = chain.id_of(shard);
    std::erase_if(footers, [&](const auto& each) { return each->shard == old; });
    if (!shard.local) continue;
    auto removed = co_await remove_segment(old);
    // The catalog has forgotten it, so the next start removes what stays.
    if (!removed) log_line(warn, "segment_stays", {{"shard", old}, {"error", removed.error()}});
  }
  co_return replaced;
}

Task<Result<void>> LocalLog::Impl::set_compacted_end(Offset offset) {
  if (state.compacted_end && *state.compacted_end >= offset) co_return Result<void>{};
  auto next = state;
  next.compacted_end = offset;
  Catalog::Change change(partition);
  change.put_state(next);
  // Losing this costs a pass that finds nothing to do.
  CO_TRY(co_await context.catalog.commit(std::move(change), env::Durability::written));
  state.compacted_end = offset;
  co_return Result<void>{};
}

const env::Path& LocalLog::segments_directory() const { return impl_->context.directory; }

Generation LocalLog::next_generation() const {
  auto highest = impl_->state.generation.value_or(Generation(0));
  for (const auto& shard : impl_->chain.shards()) highest = std::max(highest, shard.generation);
  return highest + 1;
}

Task<Result<std::vector<ShardDescriptor>>> LocalLog::replace_shards(ShardDescriptor next, Buffer footer) {
  auto self = impl_;
  co_return co_await Impl::in_turn<std::vector<ShardDescriptor>>(
      self, self->replace_shards(std::move(next), std::move(footer)));
}

Offset LocalLog::compacted_end() const { return impl_->state.compacted_end.value_or(impl_->state.log_start); }

Task<Result<void>> LocalLog::set_compacted_end(Offset end) {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->set_compacted_end(end));
}

}  // namespace forelog::log
