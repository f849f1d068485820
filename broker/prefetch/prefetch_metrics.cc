#include "broker/prefetch/prefetch_metrics.h"

#include <fmt/format.h>

namespace forelog::prefetch {

namespace {

// Of what makes no sense when the cores' values are added up.
std::string of_core(CoreId core) { return fmt::format("core=\"{}\"", core.value()); }

}  // namespace

PrefetchMetrics::PrefetchMetrics(MetricsRegistry& registry, CoreId core)
    : used_bytes(registry, "forelog_prefetch_used_bytes_total", "Prefetched bytes that were read."),
      unused_bytes(registry, "forelog_prefetch_unused_bytes_total", "Prefetched bytes that left the cache unread."),
      requests(registry, "forelog_prefetch_requests_total", "Prefetches started, each one archive request."),
      requested_bytes(registry, "forelog_prefetch_requested_bytes_total", "Bytes of prefetches started."),
      wishes_dropped(registry, "forelog_prefetch_wishes_dropped_total",
                     "Ranges dropped because too many waited to be looked up."),
      queue_extents(registry, "forelog_prefetch_queue_extents", "Extents that wait to be loaded."),
      queue_bytes(registry, "forelog_prefetch_queue_bytes", "Bytes of extents that wait to be loaded."),
      plans(registry, "forelog_prefetch_plans", "Plans held."),
      readers(registry, "forelog_prefetch_readers", "Readers known."),
      in_flight_bytes(registry, "forelog_prefetch_in_flight_bytes", "Bytes of prefetches on their way."),
      byte_tokens(registry, "forelog_prefetch_budget_bytes",
                  "Bytes that prefetching may spend at once; below zero in debt."),
      request_tokens(registry, "forelog_prefetch_budget_requests", "Requests that prefetching may spend at once."),
      waste_permille(registry, "forelog_prefetch_waste_permille",
                     "Prefetched bytes never read, of a thousand read from the archive in five minutes.",
                     of_core(core)),
      load_latency_us(registry, "forelog_prefetch_load_latency_microseconds",
                      "How long one of the slowest loads takes.", of_core(core)) {
  for (int reason = 0; reason < kReasonCount; ++reason) {
    for (int outcome = 0; outcome < cache::kOutcomeKinds; ++outcome) {
      auto labels = fmt::format("reason=\"{}\",outcome=\"{}\"", name_of(static_cast<Reason>(reason)),
                                cache::name_of(static_cast<OutcomeKind>(outcome)));
      auto& extent = extents[static_cast<std::size_t>(reason)][static_cast<std::size_t>(outcome)];
      extent = std::make_unique<Counter>(registry, "forelog_prefetch_extents_total",
                                         "Prefetched extents by what became of them.", labels);
      auto& byte = bytes[static_cast<std::size_t>(reason)][static_cast<std::size_t>(outcome)];
      byte = std::make_unique<Counter>(registry, "forelog_prefetch_bytes_total",
                                       "Bytes of prefetched extents by what became of them.", labels);
    }
  }
  for (int refusal = 0; refusal < kRefusalCount; ++refusal) {
    auto labels = fmt::format("answer=\"{}\"", refusal == 0 ? "accepted" : name_of(static_cast<Refusal>(refusal)));
    answers[static_cast<std::size_t>(refusal)] = std::make_unique<Counter>(
        registry, "forelog_prefetch_plans_offered_total", "Plans offered, by answer.", labels);
  }
}

void PrefetchMetrics::note(const OutcomeEvent& event) {
  auto reason = static_cast<std::size_t>(event.cause.reason), outcome = static_cast<std::size_t>(event.outcome);
  ++*extents[reason][outcome];
  bytes[reason][outcome]->add(event.bytes);
  if (event.outcome == OutcomeKind::refused) return;
  used_bytes.add(event.used_bytes);
  unused_bytes.add(event.bytes - event.used_bytes);
}

}  // namespace forelog::prefetch
