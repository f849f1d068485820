// Opening a log from what catalog and segments have, and taking back its end.
#include "broker/base/log.h"
#include "broker/log/local_log_impl.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr Bytes kScanWindow = 4_MiB;
constexpr Duration kRetryPause = 200ms;

bool is_settled(const ShardDescriptor& shard) {
  return shard.state == ShardState::sealed || shard.state == ShardState::archived;
}

}  // namespace

Task<Result<std::unique_ptr<LocalLog>>> LocalLog::open(LogContext& context, PartitionKey partition,
                                                       TopicSettings settings, BatchObserver* observer) {
  auto impl = std::make_shared<Impl>(context, partition, std::move(settings), observer);
  auto opened = co_await impl->open();
  if (!opened) {
    impl->closed = true;
    co_return fail(std::move(opened).error());
  }
  context.wal.attach(partition, impl);
  co_return std::unique_ptr<LocalLog>(new LocalLog(std::move(impl)));
}

Task<Result<void>> LocalLog::Impl::open() {
  PartitionEntry entry;
  std::vector<SegmentName> segments;
  if (context.local.is_known(partition)) {
    entry = CO_TRY(co_await context.catalog.load(partition));
    segments = CO_TRY(co_await list_segments());
  }
  state = std::move(entry.state);
  auto growing_from = std::find_if_not(entry.shards.begin(), entry.shards.end(), is_settled);
  std::vector<ShardDescriptor> settled(entry.shards.begin(), growing_from);
  std::vector<ShardDescriptor> unsettled(growing_from, entry.shards.end());
  CO_TRY(co_await open_settled(std::move(settled), segments));
  end = state.log_start;
  if (!chain.empty())
    end = chain.end();
  else if (!unsettled.empty())
    end = unsettled.front().base;
  else if (!segments.empty())
    end = segments.front().base;
  CO_TRY(co_await restore_observer_before(end));
  CO_TRY(co_await open_growing(std::move(unsettled), std::move(segments)));
  settle_offsets();
  co_return Result<void>{};
}

// The partition's segments by base.
Task<Result<std::vector<SegmentName>>> LocalLog::Impl::list_segments() {
  std::vector<SegmentName> out;
  auto names = co_await context.env.files.list(directory());
  if (!names && names.error().code == ErrorCode::kNotFound) co_return out;
  if (!names) co_return fail(std::move(names).error());
  for (const auto& name : *names) {
    if (auto segment = parse_segment_name(name)) out.push_back(*segment);
  }
  co_return out;  // names sort as offsets do
}

// Takes over sealed and archived shards, removes their segments from the list and those that nobody needs from the
// disk.
Task<Result<void>> LocalLog::Impl::open_settled(std::vector<ShardDescriptor> known,
                                                std::vector<SegmentName>& segments) {
  for (auto& shard : known) {
    auto same = [&](const SegmentName& name) { return name.base == shard.base && name.generation == shard.generation; };
    auto at = std::find_if(segments.begin(), segments.end(), same);
    if (at == segments.end()) {
      if (shard.local && !shard.archived) {
        co_return fail(ErrorCode::kCorruptFile, path_of(chain.id_of(shard)) + " is missing");
      }
      shard.local = false;
    } else if (shard.local) {
      segments.erase(at);
    }
  }
  chain = CO_TRY(Chain::make(partition, std::move(known)));
  if (chain.empty()) co_return Result<void>{};
  while (!segments.empty() && segments.front().base < chain.end()) {
    CO_TRY(co_await drop_segment(segments.front(), "its shard has left this broker"));
    segments.erase(segments.begin());
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::open_growing(std::vector<ShardDescriptor> known, std::vector<SegmentName> segments) {
  for (const auto& name : segments) {
    if (name.base != end || name.generation != Generation(0)) {
      // What lies between was lost with a crash before it was acknowledged, or was truncated.
      CO_TRY(co_await drop_segment(name, "it does not follow what is before it"));
      continue;
    }
    auto shard = CO_TRY(co_await open_segment({partition, name.base, name.generation}));
    if (shard->builder.size() == 0) {
      CO_TRY(co_await drop_segment(name, "it holds no whole batch"));
      continue;
    }
    ShardDescriptor descriptor;
    descriptor.base = descriptor.end = name.base;
    descriptor.created_ms = to_ms(context.env.clock.wall());
    auto noted = std::find_if(known.begin(), known.end(), [&](const auto& each) { return each.base == name.base; });
    if (noted != known.end()) {
      descriptor.created_ms = noted->created_ms;
      descriptor.access = noted->access;
    }
    if (auto* before = chain.open()) before->state = ShardState::cut;
    chain.append(std::move(descriptor));
    growing.push_back(shard);
    end = describe(*shard).end;
    shard->snapshot = snapshot();
    for (const auto& epoch : shard->builder.so_far().epochs) {
      bool newer = state.epochs.empty() || epoch.epoch > state.epochs.back().epoch;
      if (newer && epoch.epoch >= Epoch(0)) state.epochs.push_back(epoch);
    }
    if (noted != known.end() && noted->state == ShardState::cut && noted->end == end) {
      chain.open()->state = ShardState::cut;
    } else if (noted != known.end() && noted->end > end) {
      log_line(LogLevel::error, "log_lost_bytes",
               {{"shard", shard->id()}, {"noted_end_offset", noted->end}, {"end_offset", end}});
    }
    if (shard->footer.empty()) continue;
    if (growing.size() == 1) {
      CO_TRY(co_await note_sealed(shard, shard->footer));
    } else {  // shards are sealed in order, so one before this has been damaged: this is sealed anew after it
      auto file = CO_TRY(co_await file_of(shard));
      CO_TRY(co_await file->truncate(shard->written));
      chain.open()->state = ShardState::cut;
    }
  }
  co_return Result<void>{};
}

// What the segment holds: as checkpointed, then as read. The torn end goes.
Task<Result<std::shared_ptr<GrowingShard>>> LocalLog::Impl::open_segment(ShardId id) {
  auto file = CO_TRY(co_await context.env.files.open(path_of(id), env::OpenMode::write));
  auto size = CO_TRY(co_await file->size());
  auto shard = std::make_shared<GrowingShard>(FooterBuilder(id));
  auto footer = co_await context.catalog.footer(id);
  if (footer && footer->size <= size) {
    if (observer) CO_TRY(observer->restore(footer->producer_snapshot));
    footer->producer_snapshot = {};
    shard = std::make_shared<GrowingShard>(FooterBuilder(*std::move(footer)));
    shard->noted_size = shard->builder.size();
  } else if (footer || footer.error().code == ErrorCode::kCorruptFile) {
    log_line(LogLevel::error, "checkpoint_is_not_the_segments", {{"shard", id}, {"bytes", size}});
  } else if (footer.error().code != ErrorCode::kNotFound) {
    co_return fail(std::move(footer).error());
  }
  auto noted = shard->builder.size();
  CO_TRY(co_await scan(*shard, file, Offset(INT64_MAX)));
  auto whole = shard->builder.size();
  context.metrics.recovered_bytes.add(whole - noted);
  shard->footer = CO_TRY(co_await footer_behind(*shard, file, size));
  if (shard->footer.empty() && whole < size) {
    context.metrics.dropped_bytes.add(size - whole);
    log_line(info, "torn_end_dropped", {{"shard", id}, {"end_offset", shard->end()}, {"bytes", size - whole}});
    CO_TRY(co_await file->truncate(whole));
  }
  if (noted < size) {
    // What is read from now on must not be taken back by the next crash.
    CO_TRY(co_await file->sync());
    CO_TRY(co_await context.env.files.sync_directory(directory()));
  }
  shard->written = shard->synced = whole;
  co_return shard;
}

// The footer that follows the last batch, if that is what follows: the shard was sealed, and perhaps archived, when a
// crash took the catalog's word for it, which is not waited for. It must not grow again, as its object has its name.
Task<Result<Buffer>> LocalLog::Impl::footer_behind(const GrowingShard& shard, env::FilePtr file, Bytes size) {
  auto whole = shard.builder.size();
  auto length = size - whole;
  if (length < static_cast<Bytes>(kFooterTrailerSize) || length > kFooterSizeMax) co_return Buffer{};
  auto bytes = CO_TRY(co_await file->read_at(whole, length));
  auto footer = Footer::decode(bytes);
  bool same = footer && footer->shard == shard.id() && footer->size == whole && footer->end == shard.end();
  co_return same ? bytes : Buffer{};
}

Task<Result<void>> LocalLog::Impl::scan(GrowingShard& shard, env::FilePtr file, Offset end_max) {
  auto window = kScanWindow;
  while (true) {
    auto bytes = CO_TRY(co_await file->read_at(shard.builder.size(), window));
    bool last = static_cast<Bytes>(bytes.size()) < window;
    std::size_t at = 0;
    while (true) {
      auto rest = bytes.view().subspan(at);
      auto batch = parse_intact(rest);
      if (!batch) {
        auto size = BatchView::size_of(rest);
        bool cut_off = !last && (rest.size() < kBatchHeaderSize || (size && *size > rest.size()));
        if (!cut_off) co_return Result<void>{};
        if (at == 0) window *= 2;
        break;
      }
      const auto& epochs = shard.builder.so_far().epochs;
      bool follows = batch->base_offset() == shard.end() && batch->end_offset() <= end_max &&
                     (epochs.empty() || batch->leader_epoch() >= epochs.back().epoch) &&
                     shard.builder.size() + static_cast<Bytes>(batch->size()) <= kShardSizeMax;
      if (!follows) co_return Result<void>{};
      shard.builder.add(*batch);
      if (observer) observer->on_append(*batch);
      at += batch->size();
    }
  }
}

Task<Result<void>> LocalLog::Impl::restore_observer_before(Offset base) {
  if (!observer) co_return Result<void>{};
  std::optional<ShardId> before;
  if (state.dropped) before = ShardId{partition, state.dropped->base, state.dropped->generation};
  for (const auto& shard : chain.shards()) {
    if (shard.end == base && is_settled(shard)) before = chain.id_of(shard);
  }
  if (!before) co_return observer->restore({});
  auto footer = co_await context.catalog.footer(*before);
  if (footer && footer->end != base) co_return observer->restore({});
  if (footer) co_return observer->restore(footer->producer_snapshot);
  if (footer.error().code != ErrorCode::kNotFound) co_return fail(std::move(footer).error());
  co_return observer->restore({});
}

Task<Result<void>> LocalLog::Impl::drop_segment(SegmentName name, std::string_view why) {
  ShardId id{partition, name.base, name.generation};
  log_line(info, "segment_removed", {{"shard", id}, {"because", why}});
  co_return co_await context.env.files.remove(path_of(id));
}

void LocalLog::Impl::settle_offsets() {
  durable = wal_end = written_end = synced_end = write_target = end;
  logged_end = std::min(logged_end, end);
  unlogged_end = std::min(unlogged_end, end);
  std::erase_if(state.epochs, [&](const EpochStart& epoch) { return epoch.start > end; });
  state.log_start = std::min(state.log_start, end);
  forget_epochs_before(state.log_start, state.epochs);  // the first shard may have begun before it
  state.high_watermark = std::clamp(state.high_watermark, state.log_start, end);
}

void LocalLog::Impl::forget_epochs_before(Offset log_start, std::vector<EpochStart>& epochs) {
  while (epochs.size() > 1 && epochs[1].start <= log_start) epochs.erase(epochs.begin());
  if (!epochs.empty()) epochs.front().start = std::max(epochs.front().start, log_start);
}

// --- truncation ------------------------------------------------------------------------------------------------------
Task<Result<void>> LocalLog::truncate_to(Offset end) {
  auto self = impl_;
  co_return co_await Impl::in_turn<void>(self, self->truncate_to(end));
}

Task<Result<void>> LocalLog::Impl::truncate_to(Offset target) {
  if (target >= end) co_return Result<void>{};
  if (growing.empty() || target < growing.front()->id().base) {
    co_return fail(ErrorCode::kConflict, partition.text() + ": " + std::to_string(target.value()) + " is sealed");
  }
  CO_TRY(co_await written_up_to(end));
  while (writing) co_await wake.wait(context.env.clock.now() + kRetryPause);
  auto shorter = chain;
  auto removed = shorter.drop_back(target);
  auto at = std::find_if(growing.begin(), growing.end(),
                         [&](const auto& shard) { return shard->id().base == shorter.shards().back().base; });
  auto old = *at;
  auto before = snapshot();
  auto shortened = co_await log_truncation_of(old, target);
  if (!shortened && observer) CO_TRY(observer->restore(before));  // the log is what it was
  auto last = CO_TRY(std::move(shortened));

  last->snapshot = snapshot();
  growing.erase(std::find(growing.begin(), growing.end(), old), growing.end());
  chain.drop_back(last->end());
  end = last->end();
  if (chain.find(last->id())) {
    growing.push_back(last);
    describe(*last);
  }
  tail.clear();
  settle_offsets();
  std::erase_if(state.epochs, [&](const EpochStart& epoch) { return epoch.start >= end; });
  if (read_file_handle) read_file_handle.reset();
  truncation_unfinished = true;
  while (true) {
    auto done = co_await truncate_files(last, removed);
    if (done) break;
    if (closing) co_return done;
    // Appends must not begin while stale bytes follow: a crash could take them for the log's.
    log_line(warn, "truncation_waits", {{"partition", partition}, {"error", done.error()}});
    co_await wake.wait(context.env.clock.now() + kRetryPause);
  }
  truncation_unfinished = false;
  dirty_since = context.env.clock.now();
  co_return Result<void>{};
}

Task<Result<std::shared_ptr<GrowingShard>>> LocalLog::Impl::log_truncation_of(std::shared_ptr<GrowingShard> old,
                                                                              Offset target) {
  auto last = std::make_shared<GrowingShard>(FooterBuilder(old->id()));
  auto at = std::find(growing.begin(), growing.end(), old);
  if (at != growing.begin() && observer)
    CO_TRY(observer->restore((*std::prev(at))->snapshot));
  else
    CO_TRY(co_await restore_observer_before(old->id().base));
  auto file = CO_TRY(co_await file_of(old));
  CO_TRY(co_await scan(*last, std::move(file), target));
  last->written = last->builder.size();
  last->synced = std::min(old->synced, last->written);
  last->sync_failed = old->sync_failed;
  last->file = old->file;
  // From here on a crash ends with the log truncated: replay does what has not been done.
  CO_TRY(co_await log_truncation(last->id(), last->builder.size()));
  co_return last;
}

Task<Result<void>> LocalLog::Impl::log_truncation(ShardId shard, Bytes size) {
  struct Answer {
    bool logged = false;
  };
  auto answer = std::make_shared<Answer>();
  auto on_durable = [answer, weak = weak_from_this()](Lsn lsn) {
    answer->logged = true;
    auto self = weak.lock();
    if (!self) return;
    self->acked_lsn = lsn;
    self->wake.notify();
  };
  truncation_logged = true;
  context.wal.truncate(shard, size, std::move(on_durable));
  while (!answer->logged) {
    if (closing) co_return fail(ErrorCode::kStopping, partition.text());
    co_await wake.wait(context.env.clock.now() + kRetryPause);
  }
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::truncate_files(std::shared_ptr<GrowingShard> last,
                                                  std::vector<ShardDescriptor> removed) {
  Catalog::Change change(partition);
  for (const auto& shard : removed) {
    CO_TRY(co_await remove_segment(chain.id_of(shard)));
    change.erase_shard(chain.id_of(shard));
  }
  if (const auto* shard = chain.find(last->id())) {
    auto file = CO_TRY(co_await file_of(last));
    CO_TRY(co_await file->truncate(last->written));
    last->unsynced_footer = true;  // forces a sync, though no byte was added
    CO_TRY(co_await sync_shard(last, last->written));
    change.put_shard(*shard).put_footer(last->id(), last->builder.finish(last->snapshot).encode());
  } else {
    // The target lay in its first batch: nothing of it is left.
    CO_TRY(co_await remove_segment(last->id()));
    change.erase_shard(last->id());
  }
  CO_TRY(co_await context.env.files.sync_directory(directory()));
  change.put_state(state);
  co_return co_await context.catalog.commit(std::move(change), env::Durability::synced);
}

}  // namespace forelog::log
