#include "broker/replication/partition_table.h"

#include "broker/base/log.h"
#include "broker/cluster/records.h"

#include <utility>

namespace forelog::replication {
namespace {

constexpr std::size_t kOpeningMax =
    64;  // at once, so that a start with many partitions does not open all files together
constexpr Duration kTickInterval = 1s;
constexpr std::size_t kTickTogether = 2000;
constexpr std::size_t kTickSlicesMax = 50;
constexpr Duration kRetryInterval = 5s;
constexpr Duration kRemovalMax = 60s;
constexpr Duration kSettleMax = 10s;
constexpr Duration kSettleInterval = 200ms;

// Whether the partition exists, whoever leads it. What no longer exists may be removed, and nothing else.
bool is_here(const cluster::ClusterView& view, const PartitionKey& key) {
  const auto* topic = view.topic(key.topic);
  return topic != nullptr && !topic->deleting;
}

}  // namespace

PartitionTableMetrics::PartitionTableMetrics(MetricsRegistry& registry)
    : partitions(registry, "forelog_partitions", "Partitions open on this broker"),
      opening(registry, "forelog_partitions_opening", "Partitions being opened"),
      bytes_local(registry, "forelog_log_bytes", "Bytes of the log, by where they lie", "place=\"local\""),
      bytes_archived(registry, "forelog_log_bytes", "Bytes of the log, by where they lie", "place=\"archive\""),
      open_failures(registry, "forelog_partition_open_failures_total", "Attempts to open a partition that failed") {}

struct PartitionTable::Place {
  PartitionKey key;
  std::function<void(const PartitionPtr&)> use;  // null once it was called, or never will be
};

PartitionTable::PartitionTable(Parts parts)
    : parts_(std::move(parts)),
      metrics_(parts_.metrics),
      changed_(parts_.context.env.clock),
      stop_wanted_(parts_.context.env.clock),
      tasks_(parts_.context.env.cores) {}

PartitionTable::~PartitionTable() = default;

// --- following the view ----------------------------------------------------------------------------------------------

Task<void> PartitionTable::start(cluster::ClusterViewPtr view) {
  view_ = view;
  auto& log = parts_.context.log;
  auto known = co_await log.local.load(log.catalog);
  // Then every partition is looked for on the disk.
  if (!known) log_line(warn, "local_partitions_unreadable", {{"error", known.error()}});
  co_await remove_orphans(view);
  reconcile(*view, nullptr);
  while (opening_ > 0 && !stopping_) co_await changed_.wait(kForever);
  tasks_.spawn(tick(*this));
}

void PartitionTable::follow(cluster::ClusterViewPtr view) {
  if (stopping_) return;
  auto before = std::exchange(view_, std::move(view));
  reconcile(*view_, before.get());
}

bool PartitionTable::leads(const cluster::ClusterView& view, const PartitionKey& key) const {
  const auto* state = view.partition(key);
  return is_here(view, key) && state != nullptr && state->leader == parts_.context.self;
}

void PartitionTable::reconcile(const cluster::ClusterView& view, const cluster::ClusterView* before) {
  // Views share what has not changed. With many topics, most of each view is that.
  auto same_in = [](const cluster::ClusterView& other, const TopicName& name, const cluster::TopicViewPtr& topic) {
    auto at = other.topics().find(name);
    return at != other.topics().end() && at->second == topic;
  };
  std::unordered_set<PartitionKey> wanted;
  std::unordered_set<TopicId> unchanged;
  for (const auto& [name, topic] : view.topics()) {
    if (before != nullptr && same_in(*before, name, topic)) {
      unchanged.insert(topic->id);
      continue;
    }
    if (topic->deleting) continue;
    for (const auto& partition : topic->partitions) {
      PartitionKey key{topic->id, partition.id};
      if (partition.leader != parts_.context.self || !parts_.is_mine(key)) continue;
      if (leaving_.contains(key)) continue;
      wanted.insert(key);
      auto& slot = slots_[key];
      if (slot.partition) {
        slot.partition->update(topic, partition.leader_epoch);
        if (!std::exchange(slot.led, true) && listener_) listener_(slot.partition, true);
        serve(slot);
      } else if (!slot.opening) {
        slot.opening = true;
        ++opening_;
        tasks_.spawn(open(*this, topic, key, partition.leader_epoch));
      }
    }
  }
  metrics_.partitions.set(static_cast<std::int64_t>(slots_.size()));
  bool only_new = before != nullptr && std::ranges::all_of(before->topics(), [&](const auto& entry) {
                    return same_in(view, entry.first, entry.second);
                  });
  if (only_new) return;
  for (auto it = slots_.begin(); it != slots_.end();) {
    auto& [key, slot] = *it;
    if (wanted.contains(key) || slot.opening || unchanged.contains(key.topic)) {
      ++it;
      continue;
    }
    if (slot.partition && std::exchange(slot.led, false) && listener_) listener_(slot.partition, false);
    if (is_here(view, key)) {
      ++it;
      continue;
    }
    leave(key, std::move(slot.partition));
    it = slots_.erase(it);
  }
  metrics_.partitions.set(static_cast<std::int64_t>(slots_.size()));
}

Task<void> PartitionTable::open(PartitionTable& self, cluster::TopicViewPtr topic, PartitionKey key, Epoch epoch) {
  while (self.files_opening_ >= kOpeningMax) co_await self.changed_.wait(kForever);
  ++self.files_opening_;
  auto opened = co_await Partition::open(self.parts_.context, topic, key, epoch);
  --self.files_opening_;
  auto& slot = self.slots_[key];
  slot.opening = false;
  --self.opening_;
  if (!opened) {
    ++self.metrics_.open_failures;
    slot.error = opened.error();
    self.retry_wanted_ = true;
    log_line(warn, "partition_open_failed", {{"topic", topic->name}, {"partition", key}, {"error", opened.error()}});
  }
  if (self.stopping_) {
    self.slots_.erase(key);
    if (opened) co_await (*opened)->close();
  } else if (!is_here(*self.view_, key)) {
    self.slots_.erase(key);
    self.leave(key, opened ? *std::move(opened) : nullptr);
  } else if (opened) {
    slot.error.reset();
    slot.partition = *std::move(opened);
    // The view may have moved on while the partition was being opened.
    if (const auto* now = self.view_->topic(key.topic)) {
      auto current = self.view_->topics().find(now->name);
      const auto* state = self.view_->partition(key);
      if (current != self.view_->topics().end() && state != nullptr)
        slot.partition->update(current->second, state->leader_epoch);
    }
    slot.led = self.leads(*self.view_, key);
    if (slot.led && self.listener_) self.listener_(slot.partition, true);
    if (slot.led) serve(slot);
  }
  self.changed_.notify();
}

void PartitionTable::serve(Slot& slot) {
  for (const auto& place : std::exchange(slot.line, {})) std::exchange(place->use, nullptr)(slot.partition);
}

// Whether a topic that the view does not have is gone for certain: every topic that the metadata store has is in the
// view. One whose record cannot be read is left out of the view, and its bytes must not go for that.
Task<bool> PartitionTable::view_is_complete() {
  auto names = co_await parts_.context.env.metadata.children(cluster::paths::kTopics);
  if (!names) co_return false;
  for (const auto& name : *names) {
    if (view_->topic(TopicName(name)) == nullptr) co_return false;
  }
  co_return true;
}

// `partition` is null when it could not be opened: what there is of it goes all the same.
void PartitionTable::leave(PartitionKey key, PartitionPtr partition) {
  leaving_.insert(key);
  tasks_.spawn(remove(*this, key, std::move(partition)));
}

// Whether the topic is gone for certain. It is not when it comes back while we wait for that, as one does whose record
// is mended.
Task<bool> PartitionTable::is_gone(PartitionKey key) {
  auto& clock = parts_.context.env.clock;
  // A topic made a moment ago is in the store before it is in the view.
  auto give_up = clock.now() + kSettleMax;
  while (true) {
    bool complete = co_await view_is_complete();
    if (is_here(*view_, key)) co_return false;
    if (complete) co_return true;
    if (clock.now() >= give_up || stopping_) co_return false;
    co_await stop_wanted_.wait(clock.now() + kSettleInterval);
  }
}

Task<void> PartitionTable::remove(PartitionTable& self, PartitionKey key, PartitionPtr partition) {
  if (co_await self.is_gone(key)) {
    if (partition) {
      auto removed = co_await partition->remove_local();
      if (!removed) log_line(warn, "partition_remove_failed", {{"partition", key}, {"error", removed.error()}});
      partition.reset();
    }
    co_await remove_leftovers(self, key);
  } else {
    bool is_back = is_here(*self.view_, key);
    log_line(warn, "partition_kept",
             {{"partition", key}, {"why", is_back ? "its topic is back" : "not every topic's record can be read"}});
    if (partition) co_await partition->close();
  }
  self.leaving_.erase(key);
  if (!self.stopping_ && is_here(*self.view_, key)) self.reconcile(*self.view_, nullptr);
}

// Removes what there still is of a partition whose topic is gone, for as long as it takes.
Task<void> PartitionTable::remove_leftovers(PartitionTable& self, PartitionKey key) {
  while (!self.stopping_) {
    auto removed = co_await self.remove_everything(key);
    if (removed) co_return;
    log_line(warn, "partition_remove_failed", {{"partition", key}, {"error", removed.error()}});
    co_await self.stop_wanted_.wait(self.parts_.context.env.clock.now() + kRetryInterval);
  }
}

// The catalog last: the next start finds there what this one has left.
Task<Result<void>> PartitionTable::remove_everything(PartitionKey key) {
  auto& context = parts_.context;
  CO_TRY(co_await log::remove_partition_files(context.log, key));
  if (!context.log.local.is_known(key)) co_return Result<void>{};
  auto deadline = context.env.clock.now() + kRemovalMax;
  if (context.env.archive != nullptr)
    CO_TRY(co_await remove_archived_partition(context.env, context.archive_prefix, key, deadline));
  CO_TRY(co_await context.log.catalog.remove_all(key));
  context.log.local.forget(key);
  co_return Result<void>{};
}

// What lies on the disk of topics that are gone, or that were being deleted when the broker went down: no partition of
// those is opened, so nobody would remove them when the topic goes.
Task<void> PartitionTable::remove_orphans(cluster::ClusterViewPtr view) {
  auto& context = parts_.context;
  auto known = co_await log::stored_partitions(context.env, context.log.directory, context.log.catalog);
  if (!known) {
    log_line(error, "catalog_unreadable", {{"error", known.error()}});
    co_return;
  }
  bool complete = co_await view_is_complete();
  for (const auto& key : *known) {
    if (!parts_.is_mine(key) || is_here(*view, key)) continue;
    if (!complete) {
      log_line(warn, "partition_kept", {{"partition", key}, {"why", "not every topic's record can be read"}});
      continue;
    }
    log_line(info, "orphan_removed", {{"partition", key}});
    tasks_.spawn(remove_leftovers(*this, key));
  }
}

Task<void> PartitionTable::tick(PartitionTable& self) {
  auto& clock = self.parts_.context.env.clock;
  Instant retry_at = clock.now() + kRetryInterval;
  Bytes local = 0;
  Bytes archived = 0;
  for (std::size_t slice = 0; !self.stopping_;) {
    // A hundred thousand partitions in one go would keep the core from its requests for too long.
    auto slices = std::min(self.slots_.size() / kTickTogether + 1, kTickSlicesMax);
    auto now = clock.now();
    auto wall = clock.wall();
    // When the table grows meanwhile, some partitions are looked at twice in this second, or not.
    auto buckets = self.slots_.bucket_count();
    slice = std::min(slice, slices - 1);
    for (auto bucket = buckets * slice / slices; bucket < buckets * (slice + 1) / slices; ++bucket) {
      for (auto at = self.slots_.begin(bucket); at != self.slots_.end(bucket); ++at) {
        const auto& partition = at->second.partition;
        if (!partition) continue;
        partition->tick(now, wall);
        for (const auto& shard : partition->chain().shards()) {
          if (shard.local) local += shard.size;
          if (shard.archived) archived += shard.size;
        }
      }
    }
    if (++slice == slices) {
      self.metrics_.bytes_local.set(std::exchange(local, 0));
      self.metrics_.bytes_archived.set(std::exchange(archived, 0));
      self.metrics_.opening.set(static_cast<std::int64_t>(self.opening_));
      slice = 0;
    }
    if (now >= retry_at) {
      retry_at = now + kRetryInterval;
      // Tries again what could not be opened.
      if (std::exchange(self.retry_wanted_, false)) self.reconcile(*self.view_, nullptr);
    }
    co_await self.stop_wanted_.wait(now + kTickInterval / static_cast<std::int64_t>(slices));
  }
}

Task<void> PartitionTable::stop() {
  stopping_ = true;
  stop_wanted_.notify();
  changed_.notify();
  std::vector<PartitionPtr> open;
  for (auto& [key, slot] : slots_) {
    if (!slot.partition) continue;
    if (slot.led && listener_) listener_(slot.partition, false);
    open.push_back(std::move(slot.partition));
  }
  std::erase_if(slots_, [](const auto& entry) { return !entry.second.opening; });
  auto close_one = [](PartitionPtr partition) -> Task<void> { co_await partition->close(); };
  for (auto& partition : open) {
    tasks_.spawn(close_one(std::move(partition)));
  }
  open.clear();
  co_await tasks_.join();
}

// --- look-ups --------------------------------------------------------------------------------------------------------

Task<Result<PartitionTable::PartitionPtr>> PartitionTable::get(PartitionKey key, Deadline deadline) {
  while (!stopping_) {
    if (auto partition = find(key)) co_return partition;
    auto it = slots_.find(key);
    if (it == slots_.end() || !it->second.opening) co_return fail(why_not_open(key));
    if (!co_await changed_.wait(deadline)) co_return fail(ErrorCode::kTimeout, key.text() + " is being opened");
  }
  co_return fail(why_not_open(key));
}

Error PartitionTable::why_not_open(const PartitionKey& key) const {
  if (stopping_) return {ErrorCode::kNotLeader, "the broker is stopping"};
  auto it = slots_.find(key);
  if (it == slots_.end()) {
    bool exists = view_ && view_->partition(key) != nullptr;
    return {exists ? ErrorCode::kNotLeader : ErrorCode::kUnknownTopicOrPartition, key.text()};
  }
  if (it->second.partition) return {ErrorCode::kNotLeader, key.text()};
  return it->second.error.value_or(Error{ErrorCode::kStorageError, key.text()});
}

Result<PartitionTable::PlacePtr> PartitionTable::line_up(const PartitionKey& key,
                                                         std::function<void(const PartitionPtr&)> use) {
  auto it = slots_.find(key);
  if (stopping_ || it == slots_.end() || !it->second.opening) return fail(why_not_open(key));
  auto place = std::make_shared<Place>(key, std::move(use));
  it->second.line.push_back(place);
  return place;
}

Task<Result<void>> PartitionTable::wait_in_line(PlacePtr place, Deadline deadline) {
  if (!place->use) co_return Result<void>{};
  auto opened = co_await get(place->key, deadline);
  if (!place->use) co_return Result<void>{};
  place->use = nullptr;
  auto it = slots_.find(place->key);
  if (it != slots_.end()) std::erase(it->second.line, place);
  co_return fail(opened ? Error{ErrorCode::kNotLeader, place->key.text()} : opened.error());
}

PartitionTable::PartitionPtr PartitionTable::find(const PartitionKey& key) const {
  auto it = slots_.find(key);
  return it == slots_.end() || !it->second.led ? nullptr : it->second.partition;
}

std::vector<PartitionTable::PartitionPtr> PartitionTable::all() const {
  std::vector<PartitionPtr> out;
  for (const auto& [key, slot] : slots_) {
    if (slot.partition && slot.led) out.push_back(slot.partition);
  }
  return out;
}

std::optional<prefetch::PartitionBounds> PartitionTable::bounds(const PartitionKey& key) const {
  auto partition = find(key);
  if (!partition) return std::nullopt;
  auto mode = partition->settings().prefetch_mode;
  auto effective = parts_.prefetch_mode;
  switch (mode) {
    case log::PrefetchMode::inherit:
      break;
    case log::PrefetchMode::off:
      effective = prefetch::PrefetchMode::off;
      break;
    case log::PrefetchMode::read_ahead:
      effective = prefetch::PrefetchMode::read_ahead;
      break;
    case log::PrefetchMode::predict:
      effective = prefetch::PrefetchMode::predict;
      break;
  }
  auto cold_end = std::min(partition->archived_end(), partition->local_start());
  return prefetch::PartitionBounds{partition->log_start(), cold_end, partition->high_watermark(), effective};
}

std::optional<prefetch::Owner> PartitionTable::owner(const PartitionKey& key) const {
  const auto* state = view_ ? view_->partition(key) : nullptr;
  if (state == nullptr || state->leader == parts_.context.self) return std::nullopt;
  const auto* broker = view_->broker(state->leader);
  if (broker == nullptr) return std::nullopt;
  return prefetch::Owner{broker->id, broker->hint_endpoint};
}

Task<Result<std::vector<prefetch::Extent>>> PartitionTable::resolve(PartitionKey key, prefetch::OffsetRange offsets,
                                                                    Bytes bytes_max) {
  auto partition = find(key);
  if (!partition) co_return fail(ErrorCode::kUnknownTopicOrPartition, key.text());
  co_return co_await partition->resolve(offsets, bytes_max);
}

Task<Result<prefetch::OffsetRange>> PartitionTable::offsets_at(PartitionKey key, prefetch::TimeRange times) {
  auto partition = find(key);
  if (!partition) co_return fail(ErrorCode::kUnknownTopicOrPartition, key.text());
  auto from = CO_TRY(co_await partition->find_by_time(to_ms(times.from)));
  auto to = CO_TRY(co_await partition->find_by_time(to_ms(times.to)));
  auto end = partition->high_watermark();
  co_return prefetch::OffsetRange{from.offset == kNoOffset ? end : from.offset,
                                  to.offset == kNoOffset ? end : to.offset};
}

}  // namespace forelog::replication
