#include "broker/cache/cache_metrics.h"

#include <string>

namespace forelog::cache {
namespace {

std::string_view name_of(EvictReason reason) {
  switch (reason) {
    case EvictReason::cold:
      return "cold";
    case EvictReason::behind:
      return "behind";
    case EvictReason::lease:
      return "lease";
    case EvictReason::pressure:
      return "pressure";
    case EvictReason::erased:
      return "erased";
  }
  return "?";
}

template <class Kind, std::size_t N>
void make(std::array<std::unique_ptr<Counter>, N>& counters, MetricsRegistry& registry, const char* name,
          const char* help, const char* label) {
  for (std::size_t i = 0; i < N; ++i) {
    auto labels = std::string(label) + "=\"" + std::string(name_of(static_cast<Kind>(i))) + "\"";
    counters[i] = std::make_unique<Counter>(registry, name, help, std::move(labels));
  }
}

}  // namespace

CacheMetrics::CacheMetrics(MetricsRegistry& r)
    : hits(r, "forelog_cache_hits_total", "Blocks found in the cache.", "tier=\"memory\""),
      hit_bytes(r, "forelog_cache_hit_bytes_total", "Bytes of blocks found in the cache.", "tier=\"memory\""),
      misses(r, "forelog_cache_misses_total", "Blocks asked for that were not in the cache."),
      joined(r, "forelog_cache_joined_total", "Blocks asked for that were on their way as a prefetch."),
      disk_hits(r, "forelog_cache_hits_total", "Blocks found in the cache.", "tier=\"disk\""),
      disk_hit_bytes(r, "forelog_cache_hit_bytes_total", "Bytes of blocks found in the cache.", "tier=\"disk\""),
      disk_misses(r, "forelog_cache_disk_misses_total", "Blocks that were in neither memory nor the disk tier."),
      disk_timeouts(r, "forelog_cache_disk_timeouts_total",
                    "Loads that went to the archive because the disk tier did not answer in time."),
      disk_wait(r, "forelog_cache_disk_wait_seconds", "What loads spent on the disk tier before anything else."),
      failed_loads(r, "forelog_cache_failed_loads_total", "Loads that ended without all their blocks."),
      given_up(r, "forelog_cache_given_up_total",
               "Blocks that waited for memory or a request slot until nobody asked for them any more."),
      waste_bytes(r, "forelog_cache_waste_bytes_total", "Bytes loaded that left the cache unread."),
      wait(r, "forelog_cache_wait_seconds", "From the first demand for a block that was not there to its arrival."),
      bytes(r, "forelog_cache_bytes", "Bytes of cached blocks."),
      reserved_bytes(r, "forelog_cache_reserved_bytes", "Memory set aside for loads in flight."),
      unread_bytes(r, "forelog_cache_unread_prefetched_bytes", "Bytes of prefetched blocks that nobody has read yet."),
      capacity_bytes(r, "forelog_cache_capacity_bytes", "Memory that cached blocks and loads in flight may take."),
      loads_in_flight(r, "forelog_cache_loads_in_flight", "Loads on their way."),
      demand_waiting(r, "forelog_cache_demand_waiting", "Loads that wait for memory or a request slot.") {
  make<LoadKind>(loads, r, "forelog_cache_loads_total", "Loads started, by kind.", "kind");
  make<LoadKind>(load_bytes, r, "forelog_cache_load_bytes_total", "Bytes loaded, by kind.", "kind");
  make<OutcomeKind>(outcomes, r, "forelog_cache_prefetch_outcomes_total", "Prefetched blocks, by outcome.", "outcome");
  make<OutcomeKind>(outcome_bytes, r, "forelog_cache_prefetch_outcome_bytes_total", "Prefetched bytes, by outcome.",
                    "outcome");
  make<EvictReason>(evictions, r, "forelog_cache_evictions_total", "Blocks evicted, by reason.", "reason");
}

}  // namespace forelog::cache
