// prefetcher.h: starts loads before readers ask. Driver around read_ahead, plan_runner and prefetch_queue.
//
// One per core, used on that core; sees the reads of the partitions that live there. Whatever it does, no byte that a
// client gets depends on it. A load it starts is the same load as a miss, at lower priority, within hard budgets.
#pragma once

#include "broker/base/metrics.h"
#include "broker/cache/block.h"
#include "broker/env/cores.h"
#include "broker/env/task_group.h"
#include "broker/prefetch/access_feed.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/settings.h"
#include "broker/prefetch/shard_map.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::cache {
class BlockCache;
}

namespace forelog::prefetch {

// One line of `forelog plans --follow`: something that happened to a plan, as a JSON object.
struct PlanNote {
  std::int64_t sequence = 0;
  std::string json;
};

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

  void start();
  Task<void> stop();  // loads in flight belong to the cache and go on there

  // A fetch was answered: names the reader, logs the read, moves its window, fires triggers. Within 100 µs, no waiting.
  void on_access(const AccessEvent& event);
  // The connection is gone: its readers end, what was loaded for them alone is no longer wanted.
  void on_disconnect(ConnectionId connection);
  // A group event; to be told to every core, since the partitions it names may live on any. It is not logged here: the
  // core on which it happened adds it to its own feed once.
  void on_group_event(const GroupEvent& event);

  // Accepts or refuses; an accepted plan is run until it expires. WarmPlans are taken apart at once.
  PlanAnswer offer(Plan plan);

  // The settings changed (dynamic ones: mode and budgets).
  void configure(const PrefetchSettings& settings);

  // What happened to plans after `sequence` (0: all that is remembered, about a thousand), oldest first.
  std::vector<PlanNote> plans_since(std::int64_t sequence) const;

  void on_outcome(const cache::PrefetchOutcome& outcome) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forelog::prefetch
