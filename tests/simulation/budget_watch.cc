#include "tests/simulation/budget_watch.h"

#include "broker/base/limits.h"

#include <algorithm>
#include <string>

namespace forelog::simulation {
namespace {

constexpr Bytes kOneIndex = 64_KiB;  // of a shard as large as they get here: one is kept even if it is all that fits

// The sum of a metric over its labels.
std::int64_t value_of(const MetricsSnapshot& core, const std::string& metric) {
  std::int64_t sum = 0;
  for (auto at = core.lower_bound({metric, ""}); at != core.end() && at->first.first == metric; ++at)
    sum += at->second.value;
  return sum;
}

}  // namespace

void BudgetWatch::at_most(const MetricsSnapshot& core, const char* metric, Bytes limit) {
  auto value = value_of(core, metric);
  trial_.violated_if(Oracle::budgets, value > limit || value < 0,
                     std::string(metric) + " is " + std::to_string(value) + ", and may be " + std::to_string(limit));
}

void BudgetWatch::nothing_left(const MetricsSnapshot& core, const char* metric) {
  auto value = value_of(core, metric);
  trial_.violated_if(Oracle::budgets, value != 0,
                     std::string(metric) + " is " + std::to_string(value) + " though all is quiet");
}

void BudgetWatch::look(const std::vector<const MetricsRegistry*>& cores) {
  Bytes capacity = 0;
  for (const auto* registry : cores) {
    MetricsSnapshot core;
    registry->collect(core);
    auto room = value_of(core, "forelog_cache_capacity_bytes");
    capacity += room;
    auto used = value_of(core, "forelog_cache_bytes") + value_of(core, "forelog_cache_reserved_bytes");
    trial_.violated_if(
        Oracle::budgets, used > room,
        "a core's cache holds and reserves " + std::to_string(used) + " bytes of " + std::to_string(room));
    at_most(core, "forelog_cache_unread_prefetched_bytes", value_of(core, "forelog_cache_bytes"));
    at_most(core, "forelog_cache_loads_in_flight", settings_.cache.loads_in_flight_max);
    at_most(core, "forelog_prefetch_in_flight_bytes", settings_.prefetch.in_flight_max + kExtentSizeMax);
    at_most(core, "forelog_prefetch_queue_extents", 2 * static_cast<Bytes>(settings_.prefetch.queue_entries_max));
    at_most(core, "forelog_prefetch_plans", static_cast<Bytes>(settings_.prefetch.plans_max));
    at_most(core, "forelog_index_bytes", settings_.archive.index_memory + kOneIndex);
    at_most(core, "forelog_wal_files", settings_.log.wal_size_max / settings_.log.wal_file_size);
  }
  auto least = static_cast<Bytes>(cores.size()) * 2 * kBlockSize;
  trial_.violated_if(Oracle::budgets, capacity > std::max(settings_.cache.memory, least),
                     "the cores' caches together may hold " + std::to_string(capacity) + " bytes");
}

void BudgetWatch::look_when_quiet(const std::vector<const MetricsRegistry*>& cores) {
  look(cores);
  for (const auto* registry : cores) {
    MetricsSnapshot core;
    registry->collect(core);
    for (const auto* metric :
         {"forelog_cache_reserved_bytes", "forelog_cache_loads_in_flight", "forelog_cache_demand_waiting",
          "forelog_prefetch_in_flight_bytes", "forelog_connections"})
      nothing_left(core, metric);
  }
}

}  // namespace forelog::simulation
