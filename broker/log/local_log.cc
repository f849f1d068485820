// Appending, and the way of appended bytes to the disk.
#include "broker/log/local_log.h"

#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/log/local_log_impl.h"
#include "broker/log/shard_cutter.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr Bytes kWriteMin = 256_KiB;  // with durability=wal the segment is written in pieces of at least this
constexpr Bytes kWriteMax = 4_MiB;
constexpr Duration kRetryPause = 200ms;

}  // namespace

LogMetrics::LogMetrics(MetricsRegistry& r)
    : appended_batches(r, "forelog_log_appended_batches_total", "Batches appended."),
      appended_bytes(r, "forelog_log_appended_bytes_total", "Bytes appended."),
      shards_cut(r, "forelog_log_shards_cut_total", "Shards that ended."),
      shards_sealed(r, "forelog_log_shards_sealed_total", "Shards that got their footer."),
      checkpoints(r, "forelog_log_checkpoints_total", "Times that a partition's segments were synced and noted."),
      flush_failures(r, "forelog_log_write_failures_total", "Failed writes of segments."),
      memory_reads(r, "forelog_log_memory_reads_total", "Reads answered from the tail."),
      file_reads(r, "forelog_log_file_reads_total", "Reads answered from a segment."),
      recovered_bytes(r, "forelog_log_recovered_bytes_total", "Bytes read again after a crash."),
      dropped_bytes(r, "forelog_log_dropped_bytes_total", "Bytes of torn ends dropped after a crash.") {}

LocalLog::Impl::Impl(LogContext& c, PartitionKey key, TopicSettings s, BatchObserver* o)
    : context(c),
      partition(key),
      settings(std::move(s)),
      observer(o),
      chain(key),
      tail(c.tail_budget, [this] { request_write(end); }),
      advanced(c.env.clock),
      wake(c.env.clock),
      tasks(c.env.cores) {}

// --- append ----------------------------------------------------------------------------------------------------------
Result<AppendResult> LocalLog::Impl::append(Buffer batch, Epoch epoch, WallTime now) {
  if (closing) return fail(ErrorCode::kStopping, partition.text());
  if (auto failing = error()) return fail(failing->code, partition.text() + ": " + failing->context);
  if (context.tail_budget.exhausted()) {
    return fail(ErrorCode::kOverloaded, partition.text() + ": segments are written too slowly");
  }
  auto view = TRY(BatchView::parse(batch));
  CHECK(view.size() == batch.size(), "append takes one batch");
  CHECK(state.epochs.empty() || epoch >= state.epochs.back().epoch, "an older leader must not append");
  begin_epoch(epoch);

  if (const auto* open = chain.open()) {
    // With LogAppendTime only the broker's clock counts, and the shard knows by it when it was made.
    auto time = settings.timestamp_type == TimestampType::log_append_time ? kNoTimestamp : view.max_timestamp();
    Incoming next{static_cast<Bytes>(view.size()), epoch, time, view.last_offset_delta() + 1};
    if (cut_before(*open, next, settings, now)) cut(now);
  }
  auto& shard = open_shard(now);

  AppendResult out{end, end + view.last_offset_delta()};
  auto bytes = writable(batch);
  set_base_offset(bytes, end);
  set_leader_epoch(bytes, epoch);
  if (settings.timestamp_type == TimestampType::log_append_time) {
    set_append_time(bytes, now);
    out.append_time_ms = to_ms(now);
  }
  auto position = shard.builder.size();
  shard.builder.add(view);
  end = out.last + 1;
  describe(shard);
  if (observer) observer->on_append(view);

  context.metrics.appended_batches.add();
  context.metrics.appended_bytes.add(static_cast<std::int64_t>(batch.size()));
  appended_since_checkpoint += static_cast<Bytes>(batch.size());
  if (dirty_since == Instant::max()) dirty_since = context.env.clock.now();
  if (!has_directory && !std::exchange(making_directory, true)) tasks.spawn(make_directory(*this));
  auto base = shard.id().base;
  auto held = tail.append(out.base, end, base, static_cast<std::uint32_t>(position), std::move(batch));
  if (durability() == Durability::wal) {
    auto on_durable = [weak = weak_from_this(), base, batch_end = end](Lsn lsn) {
      if (auto self = weak.lock()) self->on_wal_durable(base, batch_end, lsn);
    };
    logged_end = end;
    context.wal.append({shard.id(), position, {std::move(held)}}, std::move(on_durable));
    if (tail.unwritten() >= kWriteMin) request_write(end);
  } else {
    unlogged_end = end;
    request_write(end);
  }
  // The write-ahead log waits for checkpoints to have room again. What was never in it is synced by its age alone.
  bool much = appended_since_checkpoint >= context.checkpoint_bytes;
  if (much && durability() == Durability::wal) spawn_checkpoint();
  return out;
}

void LocalLog::Impl::begin_epoch(Epoch epoch) {
  if (epoch < Epoch(0) || (!state.epochs.empty() && state.epochs.back().epoch >= epoch)) return;
  // An epoch in which nothing was appended leaves no trace in the batches; the newer one takes its place.
  while (!state.epochs.empty() && state.epochs.back().start >= end) state.epochs.pop_back();
  state.epochs.push_back({epoch, end});
}

GrowingShard& LocalLog::Impl::open_shard(WallTime now) {
  if (auto* open = chain.open()) {
    if (open->end == open->base) open->created_ms = to_ms(now);  // it waited for its first record
    return *growing.back();
  }
  ShardDescriptor shard;
  shard.base = shard.end = end;
  shard.created_ms = to_ms(now);
  chain.append(shard);
  growing.push_back(std::make_shared<GrowingShard>(FooterBuilder(chain.id_of(shard))));
  return *growing.back();
}

void LocalLog::Impl::cut(WallTime) {
  auto* open = chain.open();
  if (!open || open->end == open->base) return;
  open->state = ShardState::cut;
  // Taken now, because the footer may hold nothing of what comes after.
  growing.back()->snapshot = snapshot();
  context.metrics.shards_cut.add();
}

ShardDescriptor& LocalLog::Impl::describe(const GrowingShard& shard) {
  auto* descriptor = chain.find(shard.id());
  CHECK(descriptor != nullptr);
  const auto& footer = shard.builder.so_far();
  descriptor->end = footer.end;
  descriptor->size = footer.size;
  descriptor->first_timestamp = footer.first_timestamp;
  descriptor->max_timestamp = footer.max_timestamp;
  if (descriptor->epochs.size() != footer.epochs.size()) descriptor->epochs = footer.epochs;
  return *descriptor;
}

// --- durability ------------------------------------------------------------------------------------------------------
void LocalLog::Impl::on_wal_durable(Offset base, Offset batch_end, Lsn lsn) {
  acked_lsn = lsn;
  wal_end = std::max(wal_end, batch_end);
  if (auto* shard = growing_at(base)) shard->last_lsn = lsn;
  if (batch_end <= synced_end) release_wal(lsn);
  if (dirty_since == Instant::max() && acked_lsn > released_lsn) dirty_since = context.env.clock.now();
  update_durable();
  if (closing) advanced.notify();
}

void LocalLog::Impl::update_durable() {
  if (!has_directory) return;
  auto now = std::max(durable, synced_end);
  if (durability() == Durability::page_cache) {
    now = std::max(now, written_end);
  } else if (unlogged_end <= synced_end) {
    now = std::max(now, wal_end);
  } else {
    // Bytes that were not logged lie before the logged ones. Were they lost, replay would find a hole, so the logged
    // ones do not count before the others are synced.
    now = std::max(now, std::min(written_end, unlogged_end));
    if (wal_end > unlogged_end) spawn_checkpoint();
  }
  now = std::min(now, end);
  if (now == durable) return;
  durable = now;
  advanced.notify();
}

void LocalLog::Impl::wal_state(const std::optional<Error>& failing) {
  wal_error = failing;
  advanced.notify();
}

// --- writing segments ------------------------------------------------------------------------------------------------
void LocalLog::Impl::request_write(Offset up_to) {
  write_target = std::max(write_target, up_to);
  if (writing || closed || written_end >= write_target) return;
  writing = true;
  tasks.spawn(write_loop(*this));
}

Task<void> LocalLog::Impl::write_loop(Impl& self) {
  while (self.written_end < self.write_target && self.tail.unwritten() > 0) {
    auto done = co_await write_some(self);
    self.being_written.reset();
    if (done) {
      self.write_works();
      continue;
    }
    self.write_failed(std::move(done).error());
    if (self.closing) break;
    co_await self.wake.wait(self.context.env.clock.now() + kRetryPause);
  }
  // What could not be written was deleted. The next write says whether the disk works.
  if (self.tail.unwritten() == 0 && self.has_directory) self.write_works();
  self.writing = false;
  self.wake.notify();
}

void LocalLog::Impl::write_works() {
  if (std::exchange(write_error, std::nullopt)) {
    log_line(info, "segment_writes_again", {{"partition", partition}});
    if (context.failing != nullptr) context.failing->ended(partition);
    advanced.notify();
  }
  wake.notify();
}

void LocalLog::Impl::write_failed(Error failing) {
  context.metrics.flush_failures.add();
  ++write_failures;
  if (!write_error) log_line(warn, "segment_write_fails", {{"partition", partition}, {"error", failing}});
  if (!write_error && context.failing != nullptr) context.failing->failed(partition, failing);
  write_error = std::move(failing);
  advanced.notify();
  wake.notify();
}

// Before its first batch counts as durable, a partition has a directory: replay puts entries only into those there are,
// as those of deleted partitions are to stay gone.
Task<void> LocalLog::Impl::make_directory(Impl& self) {
  while (!self.has_directory) {
    auto made = co_await self.context.local.make_directory(self.partition);
    if (made) {
      self.has_directory = true;
      self.write_works();
      self.update_durable();
      break;
    }
    self.write_failed(std::move(made).error());
    if (self.closing) break;
    co_await self.wake.wait(self.context.env.clock.now() + kRetryPause);
  }
  self.making_directory = false;
}

Task<Result<void>> LocalLog::Impl::write_some(Impl& self) {
  auto next = self.tail.next_unwritten(kWriteMax);
  auto at = std::find_if(self.growing.begin(), self.growing.end(),
                         [&](const auto& shard) { return shard->id().base == next.shard; });
  CHECK(at != self.growing.end(), "unwritten bytes belong to a growing shard");
  auto shard = *at;
  self.being_written = shard->id();
  auto file = CO_TRY(co_await self.file_of(shard));
  auto size = total_size(next.bytes);
  CO_TRY(co_await self.stored_in(*file, *shard, next.position, std::move(next.bytes)));
  shard->written = next.position + size;
  self.written_end = std::max(self.written_end, next.end);
  self.tail.mark_written(next.end);
  self.update_durable();
  co_return Result<void>{};
}

Task<Result<void>> LocalLog::Impl::stored_in(env::File& file, const GrowingShard& shard, Bytes position, Slices bytes) {
  // What has ended can be sealed then, and deleted or archived: a full disk would stay full without that.
  if (is_cut(shard)) return file.write_to_free_space(position, std::move(bytes));
  // With a write-ahead log, files are released by syncs, which must not stall the disk; without one, nobody waits for
  // any.
  if (durability() == Durability::wal) return file.write_and_begin_writeback(position, std::move(bytes));
  return file.write_leaving_room(position, std::move(bytes));
}

Task<Result<env::FilePtr>> LocalLog::Impl::file_of(std::shared_ptr<GrowingShard> shard) {
  if (shard->file) co_return shard->file;
  if (!has_directory) {
    CO_TRY(co_await context.local.make_directory(partition));
    has_directory = true;
  }
  auto opened = CO_TRY(co_await context.env.files.open(path_of(shard->id()), env::OpenMode::create));
  if (!shard->file) shard->file = std::move(opened);
  co_return shard->file;
}

// Fails when a write fails from now on; an older failure may be over.
Task<Result<void>> LocalLog::Impl::written_up_to(Offset offset) {
  auto failures = write_failures;
  wake.notify();  // a writer that pauses after a failure tries again now
  while (written_end < offset) {
    if (write_error && write_failures > failures) co_return fail(*write_error);
    request_write(offset);
    co_await wake.wait(context.env.clock.now() + kRetryPause);
  }
  co_return Result<void>{};
}

// --- the public face -------------------------------------------------------------------------------------------------
LocalLog::LocalLog(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

LocalLog::~LocalLog() { CHECK(impl_->closed, "close a log before it goes"); }

PartitionKey LocalLog::partition() const { return impl_->partition; }

const TopicSettings& LocalLog::settings() const { return impl_->settings; }

void LocalLog::set_settings(TopicSettings settings) {
  impl_->settings = std::move(settings);
  impl_->update_durable();
}

Result<AppendResult> LocalLog::append(Buffer batch, Epoch epoch, WallTime now) {
  return impl_->append(std::move(batch), epoch, now);
}

void LocalLog::begin_epoch(Epoch epoch) { impl_->begin_epoch(epoch); }

void LocalLog::cut(WallTime now) { impl_->cut(now); }

Offset LocalLog::end() const { return impl_->end; }

Offset LocalLog::durable_end() const { return impl_->durable; }

Event& LocalLog::advanced() { return impl_->advanced; }

std::optional<Error> LocalLog::error() const { return impl_->error(); }

Task<Result<void>> LocalLog::wait_durable(Offset end, Deadline deadline) {
  auto self = impl_;
  while (self->durable < end) {
    if (auto failing = self->error()) co_return fail(failing->code, self->partition.text() + ": " + failing->context);
    if (self->closing) co_return fail(ErrorCode::kStopping, self->partition.text());
    bool notified = co_await self->advanced.wait(deadline);
    if (!notified) co_return fail(ErrorCode::kTimeout, self->partition.text() + " is not durable yet");
  }
  co_return Result<void>{};
}

Offset LocalLog::log_start() const { return impl_->state.log_start; }

Offset LocalLog::local_start() const { return impl_->local_start(); }

Task<Result<LogRead>> LocalLog::read(Offset from, Offset limit, Bytes size_max, bool at_least_one) {
  auto self = impl_;
  co_return co_await self->read({from, limit, size_max, at_least_one, false});
}

Task<Result<LogRead>> LocalLog::read_to_send(Offset from, Offset limit, Bytes size_max, bool at_least_one) {
  auto self = impl_;
  co_return co_await self->read({from, limit, size_max, at_least_one, true});
}

std::optional<LogRead> LocalLog::try_read(Offset from, Offset limit, Bytes size_max, bool at_least_one) const {
  return impl_->try_read({from, limit, size_max, at_least_one, false});
}

Task<Result<std::optional<TimestampedOffset>>> LocalLog::find_by_time(std::int64_t timestamp, Offset limit) {
  auto self = impl_;
  co_return co_await self->find_by_time(timestamp, limit);
}

const std::vector<EpochStart>& LocalLog::epochs() const { return impl_->state.epochs; }

Epoch LocalLog::latest_epoch() const { return epochs().empty() ? kNoEpoch : epochs().back().epoch; }

LocalLog::EpochEnd LocalLog::epoch_end(Epoch epoch) const {
  const auto& known = epochs();
  if (known.empty() || epoch < Epoch(0) || epoch > known.back().epoch) return {};
  if (epoch == known.back().epoch) return {epoch, end()};
  auto next = std::upper_bound(known.begin(), known.end(), epoch,
                               [](Epoch wanted, const EpochStart& entry) { return wanted < entry.epoch; });
  if (next == known.begin()) return {epoch, next->start};
  return {std::prev(next)->epoch, next->start};
}

const Chain& LocalLog::chain() const { return impl_->chain; }

Offset LocalLog::high_watermark() const { return impl_->state.high_watermark; }

void LocalLog::set_high_watermark(Offset offset) { impl_->state.high_watermark = offset; }

}  // namespace forelog::log
