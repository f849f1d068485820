// cache_metrics.h: what a core's block cache counts.
#pragma once

#include "broker/base/metrics.h"
#include "broker/cache/block.h"
#include "broker/cache/eviction.h"

#include <array>
#include <memory>

namespace forelog::cache {

struct CacheMetrics {
  explicit CacheMetrics(MetricsRegistry& registry);

  Counter hits, hit_bytes;  // blocks found in memory, and their bytes
  Counter misses;           // blocks that somebody asked for and that were not there
  Counter joined;           // of these: on their way already, as a prefetch
  std::array<std::unique_ptr<Counter>, kLoadKinds> loads, load_bytes;
  std::array<std::unique_ptr<Counter>, kOutcomeKinds> outcomes, outcome_bytes;
  std::array<std::unique_ptr<Counter>, kEvictReasons> evictions;
  Counter disk_hits, disk_hit_bytes, disk_misses, disk_timeouts;
  Histogram disk_wait;
  Counter failed_loads;
  Counter given_up;
  Counter waste_bytes;  // loaded, never read, evicted
  Histogram wait;       // from the first demand for a block to its arrival
  Gauge bytes, reserved_bytes, unread_bytes, capacity_bytes, loads_in_flight, demand_waiting;
};

}  // namespace forelog::cache
