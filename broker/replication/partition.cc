#include "broker/replication/partition.h"

#include "broker/base/log.h"
#include "broker/log/batch.h"

#include <algorithm>
#include <utility>

namespace forelog::replication {
namespace {

constexpr Duration kColdLookupMax = 10s;  // an index or a block for a look-up by time

Error closed(const PartitionKey& key) { return {ErrorCode::kNotLeader, key.text() + " is closing"}; }

}  // namespace

// Keeps the producer table in step with the log, and hands its snapshot to each shard's footer.
class Partition::Observer final : public log::BatchObserver {
 public:
  Observer(ProducerTable& producers, const PartitionContext& context) : producers_(producers), context_(context) {
    context_.producers.attach(producers_);
  }
  ~Observer() override { context_.producers.detach(producers_); }
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  void on_append(log::BatchView batch) override {
    auto before = producers_.size();
    producers_.add(batch);
    if (producers_.size() != before) context_.producers.changed(producers_, before);
  }
  Buffer snapshot() override {
    // Here and not by a timer: what a footer holds may depend on nothing but the batches.
    auto before = producers_.size();
    producers_.expire(context_.producer_expiration);
    context_.producers.changed(producers_, before);
    return producers_.snapshot();
  }
  Result<void> restore(ByteView snapshot) override {
    auto before = producers_.size();
    producers_ = TRY(ProducerTable::restore(snapshot));
    context_.producers.changed(producers_, before);
    return {};
  }

 private:
  ProducerTable& producers_;
  const PartitionContext& context_;
};

// Held across whatever suspends inside the partition; closing waits until the last is gone.
class Partition::Use {
 public:
  explicit Use(Partition& partition) : partition_(partition) { ++partition_.uses_; }
  ~Use() {
    if (--partition_.uses_ == 0) partition_.idle_.notify();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Partition& partition_;
};

Partition::Partition(PartitionContext& context, cluster::TopicViewPtr topic, PartitionKey key, Epoch leader_epoch)
    : context_(context),
      topic_(std::move(topic)),
      key_(key),
      epoch_(leader_epoch),
      observer_(std::make_unique<Observer>(producers_, context)),
      in_sync_(context.self, {context.self}, 1, 1, Offset(0)),
      archived_(key, context.cache, context.footers, context.env.clock),
      advanced_(context.env.clock),
      idle_(context.env.clock),
      tasks_(context.env.cores) {}

Partition::~Partition() = default;

Task<Result<std::shared_ptr<Partition>>> Partition::open(PartitionContext& context, cluster::TopicViewPtr topic,
                                                         PartitionKey key, Epoch leader_epoch) {
  std::shared_ptr<Partition> self(new Partition(context, std::move(topic), key, leader_epoch));
  self->log_ = CO_TRY(co_await log::LocalLog::open(context.log, key, self->settings(), self->observer_.get()));
  auto& log = *self->log_;
  auto min_in_sync = self->settings().min_insync_replicas;
  // A sole replica knows better than its checkpoint: all that is durable is on every in-sync replica.
  self->in_sync_ = InSyncSet(context.self, {context.self}, 1, min_in_sync, log.high_watermark());
  if (log.latest_epoch() > leader_epoch) {
    // Somebody took the metadata back to an older state. To append below the log's own epoch would make it contradict
    // itself; this partition stays closed, the others go on.
    auto found = std::to_string(log.latest_epoch().value()), wanted = std::to_string(leader_epoch.value());
    CO_TRY(co_await log.close());
    co_return fail(ErrorCode::kCorruptFile, key.text() + ": its log has records of leader epoch " + found +
                                                ", the metadata store knows only " + wanted +
                                                "; restore the newer metadata, or remove the partition's directory");
  }
  if (log.latest_epoch() < leader_epoch) log.begin_epoch(leader_epoch);
  self->archiver_ = std::make_unique<Archiver>(context.archiver, log, self->archived_, &self->producers_);
  self->archiver_->describe(self->topic_);
  self->archiver_->start(leader_epoch);
  self->follow_write_through();
  self->advance_high_watermark();
  self->tasks_.spawn(follow_durable(*self));
  co_return self;
}

void Partition::update(cluster::TopicViewPtr topic, Epoch leader_epoch) {
  archiver_->describe(topic);
  if (topic->settings != topic_->settings) {
    log_->set_settings(*topic->settings);
    in_sync_.set_min_in_sync(topic->settings->min_insync_replicas);
    archiver_->wake();
  }
  topic_ = std::move(topic);
  follow_write_through();
  if (leader_epoch > epoch_) {
    epoch_ = leader_epoch;
    log_->begin_epoch(leader_epoch);
  }
}

void Partition::follow_write_through() {
  auto mode = settings().write_through;
  if (write_through_) return write_through_->set_mode(mode);
  if (mode == log::WriteThroughTier::none) return;
  write_through_ = std::make_unique<WriteThrough>(context_.write_through, mode);
}

// --- produce ---------------------------------------------------------------------------------------------------------

Result<Appended> Partition::append(Buffer batch, const AppendOptions& options) {
  if (closing_) return fail(closed(key_));
  if (options.acks == -1 && !in_sync_.has_enough()) {
    return fail(ErrorCode::kNotEnoughReplicas, topic().value() + " wants more replicas in sync than there are");
  }
  auto now = context_.env.clock.wall();
  auto rules = settings().batch_rules(now);
  rules.zstd_allowed = options.zstd_allowed;
  rules.control_allowed = options.internal;
  auto view = TRY(log::validate(batch.view(), rules));
  if (view.is_transactional() && !options.internal) {
    return fail(ErrorCode::kTransactionalIdUnsupported, "transactions are not offered by this broker");
  }
  if (auto duplicate = TRY(producers_.check(view))) {
    return Appended{duplicate->base, duplicate->last + 1,
                    settings().timestamp_type == log::TimestampType::log_append_time ? duplicate->timestamp : -1, true};
  }
  auto bytes = write_through_ ? batch : Buffer();
  auto appended = TRY(log_->append(std::move(batch), epoch_, now));
  if (write_through_) {
    const auto& open = *log_->chain().open();
    auto position = open.size - static_cast<Bytes>(bytes.size());
    write_through_->on_append(log_->chain().id_of(open), position, bytes, appended.last + 1);
  }
  return Appended{appended.base, appended.last + 1, appended.append_time_ms, false};
}

Task<Result<void>> Partition::wait_acknowledged(Offset end, std::int16_t acks, Deadline disk, Deadline replicas) {
  if (acks == 0) co_return Result<void>{};
  Use use(*this);
  while (log_->durable_end() < end) {
    if (closing_) co_return fail(closed(key_));
    if (auto error = log_->error()) co_return fail(*error);
    if (!co_await log_->advanced().wait(disk)) co_return fail(ErrorCode::kRequestTimedOut, key_.text());
  }
  advance_high_watermark();  // whoever else was woken by the disk may come later
  while (acks != 1 && high_watermark() < end) {
    if (closing_) co_return fail(closed(key_));
    if (auto error = log_->error()) co_return fail(*error);
    if (!co_await advanced_.wait(replicas)) co_return fail(ErrorCode::kRequestTimedOut, key_.text());
  }
  if (write_through_) co_await write_through_->wait_held(end, disk);
  co_return Result<void>{};
}

Task<void> Partition::follow_durable(Partition& self) {
  while (!self.closing_) {
    self.advance_high_watermark();
    if (self.log_->error()) self.advanced_.notify();
    co_await self.log_->advanced().wait(kForever);
  }
}

void Partition::advance_high_watermark() {
  if (!in_sync_.acknowledged(context_.self, log_->durable_end())) return;
  log_->set_high_watermark(high_watermark());
  advanced_.notify();
  notify_readers();
}

// --- fetch -----------------------------------------------------------------------------------------------------------

void Partition::subscribe(const std::shared_ptr<Event>& news) {
  if (!news) return;
  std::erase_if(readers_, [&](const auto& reader) { return reader.expired() || reader.lock() == news; });
  readers_.push_back(news);
}

void Partition::notify_readers() {
  for (const auto& reader : std::exchange(readers_, {})) {
    if (auto event = reader.lock()) event->notify();
  }
}

Result<void> Partition::check_epoch(Epoch client_epoch) const {
  if (client_epoch == kNoEpoch || client_epoch == epoch_) return {};
  auto code = client_epoch < epoch_ ? ErrorCode::kFencedLeaderEpoch : ErrorCode::kUnknownLeaderEpoch;
  return fail(code, topic().value() + "-" + std::to_string(key_.partition.value()) + " is in epoch " +
                        std::to_string(epoch_.value()));
}

Task<ReadResult> Partition::read(ReadRequest request) {
  ReadResult result;
  Use use(*this);
  result.high_watermark = high_watermark();
  result.log_start = log_start();
  result.end = request.offset;
  if (closing_) {
    result.error = closed(key_);
    co_return result;
  }
  if (auto epoch = check_epoch(request.leader_epoch); !epoch) {
    result.error = epoch.error();
    co_return result;
  }
  if (request.offset < log_start() || request.offset > end()) {
    result.error = Error{ErrorCode::kOffsetOutOfRange, key_.text() + " has " + std::to_string(log_start().value()) +
                                                           " to " + std::to_string(end().value())};
    co_return result;
  }
  const auto limit = high_watermark();
  if (request.offset >= limit) {
    subscribe(request.news);
    co_return result;
  }
  if (request.offset >= local_start()) {
    co_await read_local(request, limit, result);
    // A shard may have left the disk while we waited for it.
    if (result.error && request.offset >= local_start()) co_return result;
    if (!result.error) co_return result;
    result.error.reset();
  }
  read_archived(request, limit, result);
  co_return result;
}

Task<void> Partition::read_local(ReadRequest request, Offset limit, ReadResult& result) {
  std::optional<log::LogRead> read;
  if (!request.to_send) read = log_->try_read(request.offset, limit, request.size_max, request.at_least_one);
  if (!read) {
    auto reading = request.to_send ? log_->read_to_send(request.offset, limit, request.size_max, request.at_least_one)
                                   : log_->read(request.offset, limit, request.size_max, request.at_least_one);
    auto from_file = co_await std::move(reading);
    if (!from_file) {
      result.error = from_file.error();
      co_return;
    }
    read = *std::move(from_file);
  }
  if (read->empty()) {
    subscribe(request.news);
    co_return;
  }
  result.size = total_size(read->batches);
  result.batches = std::move(read->batches);
  result.first = read->start;
  result.end = read->end;
  // Who asked for more than there is wants to know of the next append.
  if (result.end >= limit) subscribe(request.news);
  (read->from_memory ? result.tiers.tail : result.tiers.local) = result.size;
  if (const auto* shard = log_->chain().find(read->start)) {
    result.shard = log_->chain().id_of(*shard);
    log_->note_read(result.shard, result.size, context_.env.clock.wall());
  }
  result.first_timestamp = read->first_timestamp;
}

void Partition::read_archived(const ReadRequest& request, Offset limit, ReadResult& result) {
  archive::ColdRequest cold{request.offset, limit, request.size_max, request.at_least_one, request.reader};
  auto read = archived_.try_read(cold, request.news);
  if (!read) {
    result.error = read.error();
    return;
  }
  result.loading = read->waiting;
  if (read->batches.empty()) {
    if (!read->waiting) subscribe(request.news);
    return;
  }
  result.size = read->size();
  result.first = read->start;
  result.end = read->end;
  if (result.end >= limit) subscribe(request.news);
  result.first_timestamp = read->first_timestamp;
  result.last_timestamp = read->last_timestamp;
  result.shard = read->shard;
  result.first_block = static_cast<std::int32_t>(read->first_block);
  result.last_block = static_cast<std::int32_t>(read->last_block);
  result.tiers.memory = read->from_memory;
  result.tiers.disk = read->from_disk;
  result.tiers.archive = read->from_archive;
  result.cause = read->cause;
  result.joined = read->joined;
  result.ready = read->ready;
  log_->note_read(result.shard, result.size, context_.env.clock.wall());
  result.batches = std::move(read->batches);
}

// --- look-ups --------------------------------------------------------------------------------------------------------

Offset Partition::archived_end() const { return archived_.empty() ? log_start() : archived_.end(); }

Epoch Partition::epoch_at(Offset offset) const {
  Epoch found = kNoEpoch;
  for (const auto& entry : log_->epochs()) {
    if (entry.start > offset) break;
    found = entry.epoch;
  }
  return found;
}

log::LocalLog::EpochEnd Partition::epoch_end(Epoch epoch) const { return log_->epoch_end(epoch); }

Task<Result<OffsetAnswer>> Partition::find_by_time(std::int64_t timestamp) {
  Use use(*this);
  if (closing_) co_return fail(closed(key_));
  while (true) {
    auto began_at = local_start();
    if (!archived_.empty() && archived_.start() < began_at) {
      auto deadline = context_.env.clock.now() + kColdLookupMax;
      auto found = CO_TRY(co_await archived_.find_by_time(log_start(), timestamp, deadline));
      if (found && found->offset < log_start()) continue;  // deleted while we looked
      if (found && found->offset < high_watermark()) {
        co_return OffsetAnswer{found->timestamp, found->offset, epoch_at(found->offset)};
      }
    }
    auto found = co_await log_->find_by_time(timestamp, high_watermark());
    // A shard may have left the disk while we looked for it there.
    if (!found && local_start() != began_at && !closing_) continue;
    auto answer = CO_TRY(std::move(found));
    if (!answer) co_return OffsetAnswer{};
    co_return OffsetAnswer{answer->timestamp, answer->offset, epoch_at(answer->offset)};
  }
}

Task<Result<OffsetAnswer>> Partition::find_max_timestamp() {
  Use use(*this);
  auto deadline = context_.env.clock.now() + kColdLookupMax;
  while (!closing_) {
    auto best = CO_TRY(co_await log_->max_timestamp(high_watermark()));
    auto cold_end = std::min(local_start(), high_watermark());
    best = CO_TRY(co_await archived_.max_timestamp(log_start(), cold_end, best, deadline));
    if (best.offset == kNoOffset) co_return OffsetAnswer{};
    if (best.offset < log_start()) continue;  // deleted while we looked
    co_return OffsetAnswer{best.timestamp, best.offset, epoch_at(best.offset)};
  }
  co_return fail(closed(key_));
}

// --- shards ----------------------------------------------------------------------------------------------------------

Task<Result<Offset>> Partition::delete_records(Offset before) {
  Use use(*this);
  if (closing_) co_return fail(closed(key_));
  if (before < Offset(0) || before > high_watermark()) {
    co_return fail(ErrorCode::kOffsetOutOfRange, "the high watermark is " + std::to_string(high_watermark().value()));
  }
  // The archiver removes whole shards below the new start, objects included, in its own order.
  CO_TRY(co_await log_->set_log_start(before));
  archiver_->wake();
  co_return log_start();
}

Task<Result<std::vector<cache::BlockRange>>> Partition::resolve(prefetch::OffsetRange offsets, Bytes bytes_max) {
  Use use(*this);
  if (closing_) co_return fail(closed(key_));
  auto to = std::min(offsets.to, local_start());
  auto from = std::max(offsets.from, log_start());
  if (archived_.empty() || from >= to) co_return std::vector<cache::BlockRange>{};
  auto deadline = context_.env.clock.now() + kColdLookupMax;
  co_return co_await archived_.resolve(from, to, bytes_max, deadline);
}

// --- life ------------------------------------------------------------------------------------------------------------

void Partition::tick(Instant now, WallTime wall) {
  if (closing_) return;
  log_->tick(now, wall);
  if (sealing_) return;
  const auto& shards = log_->chain().shards();
  bool sealable = std::any_of(shards.rbegin(), shards.rend(), [&](const auto& shard) {
    return shard.state == log::ShardState::cut && shard.end <= high_watermark();
  });
  if (!sealable) return;
  sealing_ = true;
  tasks_.spawn(seal_and_note());
}

Task<void> Partition::seal_and_note() {
  Use use(*this);
  std::vector<ShardId> waiting;
  for (const auto& shard : log_->chain().shards()) {
    if (shard.state == log::ShardState::cut && write_through_) waiting.push_back(log_->chain().id_of(shard));
  }
  auto sealed = co_await log_->seal_up_to(high_watermark());
  for (const auto& id : waiting) {
    const auto* shard = log_->chain().find(id);
    if (shard != nullptr && shard->state != log::ShardState::cut) co_await write_through_->on_sealed(*log_, id);
  }
  sealing_ = false;
  if (!sealed) {
    auto code = sealed.error().code;  // a full disk would be a line a second
    if (std::exchange(seal_failure_told_, code) != code) {
      log_line(warn, "seal_failed", {{"partition", key_}, {"error", sealed.error()}});
    }
    co_return;
  }
  seal_failure_told_.reset();
  if (*sealed > 0) archiver_->wake();
}

Task<void> Partition::stop_tasks() {
  closing_ = true;
  notify_readers();
  advanced_.notify();
  log_->advanced().notify();
  co_await archiver_->stop();
  if (write_through_) co_await write_through_->stop();
  while (uses_ > 0) co_await idle_.wait(kForever);
  co_await tasks_.join();
}

Task<void> Partition::close() {
  co_await stop_tasks();
  auto closed_log = co_await log_->close();
  if (!closed_log) log_line(warn, "partition_close_failed", {{"partition", key_}, {"error", closed_log.error()}});
}

Task<Result<void>> Partition::remove_local() {
  co_await stop_tasks();
  co_return co_await log_->remove_files();
}

}  // namespace forelog::replication
