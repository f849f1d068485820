// prefetch_metrics.h: what the prefetcher counts.
#pragma once

#include "broker/base/metrics.h"
#include "broker/prefetch/hint.h"

#include <array>
#include <memory>

namespace forelog::prefetch {

struct PrefetchMetrics {
  PrefetchMetrics(MetricsRegistry& registry, CoreId core);

  void note(const OutcomeEvent& event);

  // By reason and outcome.
  std::array<std::array<std::unique_ptr<Counter>, cache::kOutcomeKinds>, kReasonCount> extents, bytes;
  Counter used_bytes, unused_bytes;
  std::array<std::unique_ptr<Counter>, kRefusalCount> answers;  // to offers of plans; `none`: accepted
  Counter requests, requested_bytes;                            // prefetches started
  Counter wishes_dropped;                                       // more than could be looked up
  Gauge queue_extents, queue_bytes, plans, readers, in_flight_bytes;
  Gauge byte_tokens, request_tokens, waste_permille, load_latency_us;
};

}  // namespace forelog::prefetch
