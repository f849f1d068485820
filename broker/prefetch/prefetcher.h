// prefetcher.h: starts loads before readers ask. Driver around reader_tracker, read_ahead, plan_runner, prefetch_queue.
//
// One per core, used on that core; sees the reads of the partitions that live there. Whatever it does, no byte that a
// client gets depends on it. A load it starts is the same load as a miss, at lower priority, within hard budgets.
//
// The way of a wish: a rule or a plan names offsets → a few looker tasks turn them into blocks (ShardMap may have to
// read an index) → the queue → the pump starts loads while tokens, room in the cache and slots last → outcomes come
// back from the cache, block by block, and are put together by the ledger.
#pragma once

#include "broker/base/metrics.h"
#include "broker/cache/block_cache.h"
#include "broker/env/cores.h"
#include "broker/env/task_group.h"
#include "broker/prefetch/access_feed.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/load_latency.h"
#include "broker/prefetch/outcome_ledger.h"
#include "broker/prefetch/plan_notes.h"
#include "broker/prefetch/plan_runner.h"
#include "broker/prefetch/prefetch_metrics.h"
#include "broker/prefetch/prefetch_queue.h"
#include "broker/prefetch/read_ahead.h"
#include "broker/prefetch/reader_tracker.h"
#include "broker/prefetch/settings.h"
#include "broker/prefetch/shard_map.h"
#include "broker/prefetch/source_records.h"
#include "broker/prefetch/token_bucket.h"
#include "broker/prefetch/waste_meter.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace forelog::prefetch {

class Prefetcher final : public cache::OutcomeSink {
 public:
  struct Parts {
    env::Cores& cores;
    cache::BlockCache& cache;  // of this core; whoever wires them gives the cache this object as its outcome sink
    ShardMap& shards;
    AccessFeed& feed;
    MetricsRegistry& metrics;
  };
  // `settings` are this core's shares already; `staging` is the part of the core's cache for unread prefetched bytes.
  Prefetcher(Parts parts, const PrefetchSettings& settings, Bytes staging);
  ~Prefetcher() override;

  // Where ranges of partitions go that do not live on this core: steps of a chain that was triggered here. The function
  // posts them to the right core's `load`. Without it they are dropped.
  using Elsewhere = std::function<void(LoadRequest)>;
  void set_elsewhere(Elsewhere elsewhere) { elsewhere_ = std::move(elsewhere); }

  void start();
  Task<void> stop();  // loads in flight belong to the cache and go on there

  // Who it is that asks for `asked` and may have to wait for the archive: to be called before the cache is asked, so
  // that its uses and loads have a name. A reader that begins here is announced.
  ReaderId reader_at(const ClientPtr& client, const PartitionKey& partition, std::string_view topic, Offset asked);

  // A fetch was answered: names the reader, logs the read, moves its window, fires triggers. Within 100 µs, no waiting.
  void on_access(const AccessEvent& event);
  // A fetch found nothing of the partition in memory and waits for the archive: fires triggers and moves its window at
  // once, since what they name is wanted next. Its answer comes to `on_access` later, and only that is logged.
  void on_miss(const AccessEvent& event);
  // Offsets have left the local disk: whoever needs them next reads the archive (signal 3).
  void on_local_drop(const PartitionKey& partition, OffsetRange dropped);
  // The connection is gone: its readers end, what was to be loaded for them alone is no longer wanted.
  void on_disconnect(ConnectionId connection);
  // A group event; to be told to every core, since the partitions it names may live on any. It is not logged here: the
  // core on which it happened adds it to its own feed once.
  void on_group_event(const GroupEvent& event);

  // Accepts or refuses; an accepted plan is run until it expires. Ranges of a plan whose partitions live elsewhere are
  // not loaded; without any that lives here the plan is refused, naming the owner where it is known.
  PlanAnswer offer(Plan plan);
  // Loads what another core's plan named.
  void load(LoadRequest request);

  // The settings changed (dynamic ones: budgets, windows).
  void configure(const PrefetchSettings& settings, Bytes staging);

  // What happened to plans after `sequence` (0: all that is remembered, about a thousand), oldest first.
  std::vector<PlanNote> plans_since(std::int64_t sequence) const { return notes_.since(sequence); }

  void on_outcome(const cache::PrefetchOutcome& outcome) override;

  const PrefetchMetrics& metrics() const { return metrics_; }

 private:
  bool allows(const PartitionBounds& bounds, Reason reason) const;
  void read_ahead(const AccessEvent& event, const ReaderTracker::Seen& seen, const PartitionBounds& bounds, Offset end,
                  Instant now);
  void load_ahead(const PartitionKey& partition, const ReaderTracker::Seen& seen, const std::vector<Ahead>& named,
                  Instant now);
  ReaderTracker::Seen see(const AccessEvent& event, Instant now);
  void drop_behind(const AccessEvent& event, ReaderId reader);
  void run_plans(const ReaderStep& step, const ReaderTracker::Seen& seen, Instant now);
  void close(ReaderId reader);
  void wish(LoadRequest request);

  Task<void> look_up_loop();
  Task<void> look_up(LoadRequest request);
  Task<Result<std::vector<Extent>>> blocks_of(const LoadRequest& request, OffsetRange offsets, Offset end,
                                              Bytes bytes_max);
  Task<void> pump_loop();
  void pump();
  void pump(PrefetchQueue& queue, cache::LoadKind kind, Instant now);
  void drop_late(Instant now);
  bool may_start(const PrefetchQueue::Next& next, cache::LoadKind kind, Instant now);
  void start_load(const QueuedExtent& entry, cache::LoadKind kind, Instant now);
  void queue_up(const LoadRequest& request, Extent run, Bytes& left);
  Bytes in_flight_bytes();
  Instant next_look(Instant now);

  void refuse(const LoadRequest& request, Refusal why);
  void refuse(const QueuedExtent& entry, Refusal why) { settle(OutcomeLedger::refused(entry, why)); }
  void settle(const OutcomeEvent& event);
  void refresh_gauges(Instant now);

  Parts parts_;
  env::Clock& clock_;
  PrefetchSettings settings_;
  Bytes staging_;
  Elsewhere elsewhere_;
  PrefetchMetrics metrics_;

  ReaderTracker tracker_;
  ReadAheads read_aheads_;
  PlanRunner runner_;
  PrefetchQueue queue_, heads_;  // heads of sessions to come have their own part of the cache, so their own queue
  OutcomeLedger ledger_;
  SourceRecords sources_;
  TokenBucket byte_tokens_, request_tokens_;
  LoadLatency latency_;
  WasteMeter waste_;
  PlanNotes notes_;

  std::deque<LoadRequest> wishes_;
  std::unordered_map<ReaderId, std::uint64_t> streams_;  // of readers for whom something was asked
  std::unordered_map<ReaderId, Extent> standing_;        // blocks of each reader's newest read
  std::vector<Extent> in_flight_;
  Instant drop_late_at_{};
  Bytes archive_bytes_seen_ = 0;  // of the cache's own count
  bool stopping_ = false;
  Event wished_;
  std::shared_ptr<Event> look_;  // shared with the cache, which notifies it when a load lands
  TaskGroup tasks_;
};

}  // namespace forelog::prefetch
