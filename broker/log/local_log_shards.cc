// The life of shards: checkpoint, seal, archive, drop.
#include "broker/base/log.h"
#include "broker/log/local_log_impl.h"
#include "broker/log/segment_content.h"
#include "broker/log/shard_cutter.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr Duration kCheckpointAge = 30s;  // the longest that appended bytes wait for one
constexpr Duration kIdleFileAge = 60s;
constexpr Duration kWalAnswerMax = 5s;  // how long closing waits for the write-ahead log
constexpr Bytes kCopySize = 4_MiB;

}  // namespace

GrowingShard* LocalLog::Impl::growing_at(Offset base) {
  for (const auto& shard : growing) {
    if (shard->id().base == base) return shard.get();
  }
  return nullptr;
}

// --- checkpoint ------------------------------------------------------------------------------------------------------
Task<Result<void>> LocalLog::Impl::checkpoint() {
  checkpoint_again = false;
  // Nothing was ever stored of it, and nothing of it is worth storing.
  if (chain.empty() && !context.local.is_known(partition)) co_return Result<void>{};
  // The write-ahead log is kept, and the next start does it.
  if (truncation_unfinished) co_return fail(ErrorCode::kStopping, partition.text() + " is being truncated");
  struct Part {
    std::shared_ptr<GrowingShard> shard;
    Bytes size;
    bool is_cut;
  };
  // All of this describes one moment; what is appended meanwhile belongs to the next checkpoint.
  auto target = end;
  auto lsn = acked_lsn;
  Catalog::Change change(partition);
  std::vector<Part> parts;
  for (const auto& shard : growing) {
    auto size = shard->builder.size();
    bool ended = is_cut(*shard);
    bool noted = shard->synced == size && shard->noted_size == size && shard->noted_cut == ended;
    if (size == 0 || noted) continue;
    change.put_shard(describe(*shard));
    change.put_footer(shard->id(), shard->builder.finish(ended ? shard->snapshot : snapshot()).encode());
    parts.push_back({shard, size, ended});
  }
  change.put_state(state);
  appended_since_checkpoint = 0;
  dirty_since = Instant::max();

  Result<void> done = co_await written_up_to(target);
  for (std::size_t i = 0; done && i < parts.size(); ++i) done = co_await sync_shard(parts[i].shard, parts[i].size);
  // Losing this commit costs a longer scan, nothing else, so it need not be synced.
  if (done) done = co_await context.catalog.commit(std::move(change), env::Durability::written);
  if (!done) {
    dirty_since = context.env.clock.now();
    co_return done;
  }
  for (auto& part : parts) {
    part.shard->noted_size = part.size;
    part.shard->noted_cut = part.is_cut;
  }
  context.metrics.checkpoints.add();
  synced_end = std::max(synced_end, target);
  release_wal(lsn);
  update_durable();
  co_return Result<void>{};
}

void LocalLog::Impl::release_wal(Lsn lsn) {
  if (lsn <= released_lsn) return;
  released_lsn = lsn;
  context.wal.release(partition, lsn);
}

Task<Result<void>> LocalLog::Impl::sync_shard(std::shared_ptr<GrowingShard> shard, Bytes up_to) {
  if (shard->synced >= up_to && !shard->unsynced_footer) co_return Result<void>{};
  auto file = CO_TRY(co_await file_of(shard));
  if (shard->sync_failed) CO_TRY(co_await write_again(shard));
  auto covered = shard->written;
  auto synced = co_await file->sync();
  if (!synced) {
    shard->sync_failed = true;
    co_return synced;
  }
  if (!shard->name_durable) CO_TRY(co_await context.env.files.sync_directory(directory()));
  shard->name_durable = true;
  shard->unsynced_footer = false;
  shard->synced = std::max(shard->synced, covered);
  co_return Result<void>{};
}

// After a failed sync the system may count pages as clean that never reached the disk; only writing them again makes
// the next sync mean something. They are checked, because what is read back may be an older state of the file. The
// write-ahead log still has them if this fails.
Task<Result<void>> LocalLog::Impl::write_again(std::shared_ptr<GrowingShard> shard) {
  auto file = CO_TRY(co_await file_of(shard));
  auto end_position = shard->written;
  auto window = kCopySize;
  for (auto position = shard->synced; position < end_position;) {
    auto bytes = CO_TRY(co_await file->read_at(position, std::min(window, end_position - position)));
    std::size_t whole = 0;
    while (whole < bytes.size()) {
      auto size = BatchView::size_of(bytes.view().subspan(whole));
      if (size && *size > bytes.size() - whole && whole + *size <= static_cast<std::size_t>(end_position - position))
        break;
      auto batch = parse_intact(bytes.view().subspan(whole));
      if (!batch) co_return fail(ErrorCode::kCorruptFile, path_of(shard->id()) + ": " + batch.error().context);
      whole += batch->size();
    }
    window = whole == 0 ? window * 2 : kCopySize;
    if (whole > 0) CO_TRY(co_await file->write_at(position, {bytes.slice(0, whole)}));
    position += static_cast<Bytes>(whole);
  }
  shard->sync_failed = false;
  co_return Result<void>{};
}

void LocalLog::Impl::spawn_checkpoint() {
  if (closing) return;
  // The one under way may have begun before what this one is wanted for was there.
  if (std::exchange(checkpoint_spawned, true)) {
    checkpoint_again = true;
    return;
  }
  tasks.spawn(background_checkpoint(*this));
}

Task<void> LocalLog::Impl::background_checkpoint(Impl& self) {
  Result<void> done;
  do {
    done = co_await in_turn<void>(self.shared_from_this(), self.checkpoint());
  } while (done && self.checkpoint_again && !self.closing);
  self.checkpoint_spawned = false;
  if (!done) log_line(warn, "checkpoint_fails", {{"partition", self.partition}, {"error", done.error()}});
}

// --- sealing ---------------------------------------------------------------------------------------------------------
Task<Result<int>> LocalLog::Impl::seal_up_to(Offset high_watermark) {
  int count = 0;
  while (!growing.empty()) {
    auto shard = growing.front();
    const auto* descriptor = chain.find(shard->id());
    if (descriptor->state != ShardState::cut || descriptor->end > std::min(high_watermark, durable)) break;
    CO_TRY(co_await seal(std::move(shard)));
    ++count;
  }
  co_return count;
}

Task<Result<void>> LocalLog::Impl::seal(std::shared_ptr<GrowingShard> shard) {
  CO_TRY(co_await written_up_to(shard->end()));
  auto footer = shard->builder.finish(shard->snapshot);
  auto encoded = footer.encode();
  auto file = CO_TRY(co_await file_of(shard));
  CO_TRY(co_await file->write_at(footer.size, {encoded}));
  shard->unsynced_footer = true;
  CO_TRY(co_await sync_shard(shard, footer.size));
  CO_TRY(co_await note_sealed(shard, encoded));
  synced_end = std::max(synced_end, footer.end);
  release_wal(shard->last_lsn);
  update_durable();
  context.metrics.shards_sealed.add();
  log_line(info, "shard_sealed", {{"shard", shard->id()}, {"end_offset", footer.end}, {"bytes", footer.size}});
  co_return Result<void>{};
}

// Its file has this footer, on the disk: tells the catalog, and takes the shard for sealed.
Task<Result<void>> LocalLog::Impl::note_sealed(std::shared_ptr<GrowingShard> shard, Buffer encoded) {
  auto descriptor = describe(*shard);
  descriptor.state = ShardState::sealed;
  descriptor.footer_size = static_cast<Bytes>(encoded.size());
  descriptor.sealed_ms = to_ms(context.env.clock.wall());
  Catalog::Change change(partition);
  change.put_shard(descriptor).put_footer(shard->id(), encoded).put_state(state);
  CO_TRY(co_await context.catalog.commit(std::move(change), env::Durability::written));

  *chain.find(shard->id()) = descriptor;
  std::erase(growing, shard);
  co_return Result<void>{};
}

// --- archived, dropped -----------------------------------------------------------------------------------------------
// Notes a new description of a shard, here once the catalog has it. Reads counted meanwhile are kept.
Task<Result<void>> LocalLog::Impl::change_shard(ShardDescriptor shard, env::Durability durability) {
  Catalog::Change change(partition);
  change.put_shard(shard).put_state(state);
  CO_TRY(co_await context.catalog.commit(std::move(change), durability));
  auto* live = chain.find(chain.id_of(shard));
  CHECK(live != nullptr, "shards go only in turn");
  shard.access = live->access;
  *live = std::move(shard);
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::mark_archived(ShardId shard) {
  const auto* known = chain.find(shard);
  if (!known) co_return fail(ErrorCode::kNotFound, shard.text());
  if (known->state != ShardState::sealed && known->state != ShardState::archived) {
    co_return fail(ErrorCode::kConflict, shard.text() + " is not sealed");
  }
  auto descriptor = *known;
  descriptor.state = ShardState::archived;
  descriptor.archived = true;
  CO_TRY(co_await change_shard(std::move(descriptor), env::Durability::written));
  Offset archived_end = state.log_start;
  for (const auto& each : chain.shards()) {
    if (!each.archived) break;
    archived_end = each.end;
  }
  state.archived_end = std::max(state.archived_end, archived_end);
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::adopt_archived(std::vector<ShardDescriptor> shards) {
  if (!chain.empty()) std::erase_if(shards, [&](const auto& shard) { return shard.base >= chain.start(); });
  if (shards.empty()) co_return Result<void>{};
  Catalog::Change change(partition);
  for (auto& shard : shards) {
    if (!shard.archived) co_return fail(ErrorCode::kConflict, chain.id_of(shard).text() + " is not archived");
    shard.local = false;
    shard.state = ShardState::archived;
    change.put_shard(shard);
  }
  change.put_state(state);
  context.local.note(partition);
  auto joined = shards;
  joined.insert(joined.end(), chain.shards().begin(), chain.shards().end());
  CO_TRY(Chain::make(partition, joined));
  CO_TRY(co_await context.catalog.commit(std::move(change), env::Durability::written));
  // The chain may have grown at its end meanwhile.
  joined = std::move(shards);
  joined.insert(joined.end(), chain.shards().begin(), chain.shards().end());
  chain = CO_TRY(Chain::make(partition, std::move(joined)));
  if (chain.end() > end) end = durable = wal_end = written_end = synced_end = chain.end();
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::remove_segment(ShardId shard) {
  if (read_file_handle && read_file_handle->first == shard) read_file_handle.reset();
  auto removed = co_await context.env.files.remove(path_of(shard));
  if (!removed && removed.error().code != ErrorCode::kNotFound) co_return removed;
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::drop_local(ShardId shard) {
  const auto* known = chain.find(shard);
  if (!known) co_return fail(ErrorCode::kNotFound, shard.text());
  if (!known->archived || growing_at(shard.base))
    co_return fail(ErrorCode::kConflict, shard.text() + " is not archived");
  if (!known->local) co_return Result<void>{};
  auto descriptor = *known;
  descriptor.local = false;
  // The catalog first: a file that it does not know of is removed at the next start, a missing one would be missed.
  CO_TRY(co_await change_shard(std::move(descriptor), env::Durability::synced));
  co_return co_await remove_segment(shard);
}

// Of the shards that go, the footer of the last stays: the producers in it, and their last batches, are those that the
// first shard that stays begins with.
void LocalLog::Impl::keep_last_footer(const ShardDescriptor& last, PartitionState& next, Catalog::Change& change) {
  if (next.dropped) change.erase_footer({partition, next.dropped->base, next.dropped->generation});
  next.dropped = {last.base, last.generation};
  const auto* shard = growing_at(last.base);
  if (shard != nullptr) change.put_footer(shard->id(), shard->builder.finish(shard->snapshot).encode());
}

// What of them is not written need not be any more, as on a full disk it could not; it counts as if it were.
void LocalLog::Impl::forget_growing_before(Offset base) {
  for (const auto& shard : growing) {
    if (shard->id().base < base) release_wal(shard->last_lsn);
  }
  std::erase_if(growing, [&](const auto& shard) { return shard->id().base < base; });
  tail.mark_written(base);
  written_end = std::max(written_end, base);
  synced_end = std::max(synced_end, base);
  wake.notify();
}

Task<Result<std::vector<ShardDescriptor>>> LocalLog::Impl::set_log_start(Offset offset) {
  offset = std::min(offset, durable);
  if (offset <= state.log_start) co_return std::vector<ShardDescriptor>{};
  // Also the last shard can go if it has ended: an empty one says where the log goes on.
  if (offset == end && !chain.empty() && chain.open() == nullptr) open_shard(context.env.clock.wall());
  auto shorter = chain;
  auto dropped = shorter.drop_front(offset);

  auto next = state;
  next.log_start = offset;
  forget_epochs_before(offset, next.epochs);
  Catalog::Change change(partition);
  for (const auto& shard : dropped) change.erase_descriptor(chain.id_of(shard));
  for (std::size_t i = 0; i + 1 < dropped.size(); ++i) change.erase_footer(chain.id_of(dropped[i]));
  if (!dropped.empty()) keep_last_footer(dropped.back(), next, change);
  change.put_state(next);
  // Recovery takes the first shard that the catalog names for the beginning.
  for (const auto& shard : growing) {
    if (shard->id().base < shorter.start()) continue;
    auto noted = describe(*shard);
    // A crash may take what is not synced, and recovery would miss what is noted.
    noted.end = std::clamp(synced_end, noted.base, noted.end);
    change.put_shard(noted);
  }
  CO_TRY(co_await context.catalog.commit(std::move(change), env::Durability::synced));

  state.log_start = offset;
  state.dropped = next.dropped;
  forget_epochs_before(offset, state.epochs);
  if (dropped.empty()) co_return dropped;
  chain.drop_front(dropped.back().end);
  forget_growing_before(chain.start());
  for (const auto& shard : dropped) {
    auto id = chain.id_of(shard);
    if (!shard.local) continue;
    while (being_written == id) co_await wake.wait(context.env.clock.now() + 1s);
    auto removed = co_await remove_segment(id);
    // The catalog has forgotten it, so the next start removes what stays.
    if (!removed) log_line(warn, "segment_stays", {{"shard", id}, {"error", removed.error()}});
  }
  co_return dropped;
}

// --- upkeep ----------------------------------------------------------------------------------------------------------
void LocalLog::Impl::tick(Instant now, WallTime wall) {
  if (closing) return;
  if (const auto* open = chain.open(); open && cut_by_age(*open, settings, wall)) cut(wall);
  auto age = settings.durability == Durability::page_cache ? std::min(kCheckpointAge, settings.flush_interval)
                                                           : kCheckpointAge;
  // Partitions that are written together would be synced together, all of their bytes at once.
  auto spread = static_cast<std::int64_t>(std::hash<PartitionKey>{}(partition) % 256);
  age -= age * spread / 512;
  if (dirty_since != Instant::max() && now - dirty_since >= age) spawn_checkpoint();
  if (read_file_handle && now - read_file_used >= kIdleFileAge) read_file_handle.reset();
  if (dirty_since != Instant::max() || turn_taken || writing) return;
  for (const auto& shard : growing) shard->file.reset();
}

Task<void> LocalLog::Impl::wait_for_wal(Deadline deadline) {
  while (wal_end < logged_end && !wal_error) {
    bool moved = co_await advanced.wait(deadline);
    if (!moved) co_return;
  }
}

Task<void> LocalLog::Impl::stop() {
  wake.notify();
  advanced.notify();
  co_await tasks.join();
  context.wal.detach(partition);
  if (write_error && context.failing != nullptr) context.failing->ended(partition);
  closed = true;
}

Task<Result<void>> LocalLog::Impl::remove_files() {
  tail.clear();
  co_return co_await remove_partition_files(context, partition);
}

// --- the public face -------------------------------------------------------------------------------------------------
std::vector<ShardDescriptor> LocalLog::sealed() const {
  std::vector<ShardDescriptor> out;
  for (const auto& shard : impl_->chain.shards()) {
    if (shard.local && shard.state == ShardState::sealed && !shard.archived) out.push_back(shard);
  }
  return out;
}

Task<Result<int>> LocalLog::seal_up_to(Offset high_watermark) {
  auto self = impl_;
  co_return co_await Impl::in_turn<int>(self, self->seal_up_to(high_watermark));
}

Task<Result<std::unique_ptr<env::ObjectContent>>> LocalLog::content_of(ShardId shard) {
  auto self = impl_;
  const auto* known = self->chain.find(shard);
  if (!known || !known->local) co_return fail(ErrorCode::kNotFound, shard.text() + " is not here");
  if (self->growing_at(shard.base)) co_return fail(ErrorCode::kConflict, shard.text() + " is not sealed");
  auto footer = CO_TRY(co_await self->footer_of(shard));
  auto file = CO_TRY(co_await self->context.env.files.open(self->path_of(shard), env::OpenMode::read));
  co_return std::make_unique<SegmentContent>(std::move(file), std::move(footer));
}

Task<Result<std::shared_ptr<const Footer>>> LocalLog::footer_of(ShardId shard) {
  auto self = impl_;
  if (self->growing_at(shard.base)) co_return fail(ErrorCode::kNotFound, shard.text() + " is not sealed");
  co_return co_await self->footer_of(shard);
}

Task<Result<void>> LocalLog::mark_archived(ShardId shard) {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->mark_archived(shard));
}

Task<Result<void>> LocalLog::adopt_archived(std::vector<ShardDescriptor> shards) {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->adopt_archived(std::move(shards)));
}

Task<Result<void>> LocalLog::put_footer(ShardId shard, Buffer encoded) {
  auto self = impl_;
  CO_TRY(Footer::decode(encoded));
  Catalog::Change change(self->partition);
  change.put_footer(shard, encoded);
  co_return co_await self->context.catalog.commit(std::move(change), env::Durability::written);
}

Task<Result<void>> LocalLog::drop_local(ShardId shard) {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->drop_local(shard));
}

Task<Result<std::vector<ShardDescriptor>>> LocalLog::set_log_start(Offset offset) {
  auto self = impl_;
  co_return co_await Impl::in_turn<std::vector<ShardDescriptor>>(self, self->set_log_start(offset));
}

void LocalLog::note_read(ShardId shard, Bytes bytes, WallTime now) {
  auto* known = impl_->chain.find(shard);
  if (!known) return;
  ++known->access.reads;
  known->access.bytes += bytes;
  known->access.last_read_ms = to_ms(now);
}

Task<Result<void>> LocalLog::checkpoint() {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->checkpoint());
}

void LocalLog::tick(Instant now, WallTime wall) { impl_->tick(now, wall); }

Task<Result<void>> LocalLog::close() {
  auto self = impl_;
  self->closing = true;
  // With its answers the write-ahead log can be released to the end, and the next start has nothing to replay.
  co_await self->wait_for_wal(self->context.env.clock.now() + kWalAnswerMax);
  auto done = co_await Impl::in_turn<void>(self, self->checkpoint());
  co_await self->stop();
  co_return done;
}

Task<Result<void>> LocalLog::remove_files() {
  auto self = impl_;
  self->closing = true;
  co_await self->stop();
  co_return co_await Impl::in_turn<void>(self, self->remove_files());
}

namespace {

// The archive is cleared after the files. A power cut in between must leave something that knows of the partition, and
// of a young one the catalog has nothing that was synced.
Task<void> remember(LogContext& context, PartitionKey partition) {
  auto entry = co_await context.catalog.load(partition);
  Catalog::Change change(partition);
  change.put_state(entry ? entry->state : PartitionState{});
  auto kept = co_await context.catalog.commit(std::move(change), env::Durability::synced);
  // As on a full disk, where the files' room is what is wanted.
  if (!kept) log_line(warn, "deletion_not_noted", {{"partition", partition}, {"error", kept.error()}});
}

}  // namespace

Task<Result<void>> remove_partition_files(LogContext& context, PartitionKey partition) {
  context.wal.forget(partition);
  if (!context.local.is_known(partition)) co_return Result<void>{};
  auto directory = partition_directory(context.directory, partition);
  auto names = co_await context.env.files.list(directory);
  if (!names && names.error().code == ErrorCode::kNotFound) co_return Result<void>{};
  if (!names) co_return fail(std::move(names).error());
  if (context.env.archive != nullptr) co_await remember(context, partition);
  for (const auto& name : *names) CO_TRY(co_await context.env.files.remove(directory + "/" + name));
  CO_TRY(co_await context.env.files.remove(directory));
  co_return co_await context.env.files.sync_directory(context.directory);
}

}  // namespace forelog::log
