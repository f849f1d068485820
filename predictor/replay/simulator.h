// simulator.h: a trace against a cache before a slow archive, with one way to prefetch.
//
// The cache is the broker's own eviction policy, and what waits to be loaded waits in the broker's own queue. The
// archive answers each request after the same latency; demand goes out at once, prefetches as far as the budget of
// requests a second allows, after what demand took of it. In open mode a read happens when the trace says, whatever it
// waits; in closed mode a client's next read comes after the same pause counted from the answer, so that a reader who
// waits reads later.
//
// The first half of the requests warms, the second is measured.
#pragma once

#include "predictor/replay/method.h"
#include "predictor/replay/trace.h"

#include <string>
#include <vector>

namespace forelog::predictor::replay {

enum class Mode : std::uint8_t { open, closed };

struct SimulatorSettings {
  Duration latency = 50ms;
  std::size_t cache_blocks = 1000;
  double requests_per_second = 1000;  // the budget
  Mode mode = Mode::open;
};

struct Report {
  std::string method;
  std::int64_t requests = 0;
  double stall_seconds = 0;  // all waiting together
  std::int64_t hits = 0;     // without any wait
  std::int64_t demand = 0;   // archive requests that a reader waited for from the start
  std::int64_t fetched = 0;  // blocks fetched ahead
  std::int64_t used = 0, late = 0, unused = 0, refused = 0;
  double p50_ms = 0, p99_ms = 0;
  double seconds = 0;  // that the simulation itself took; filled in by the caller

  double hit_ratio() const { return requests == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(requests); }
  double precision() const;
  double stall_removed(const Report& none) const;
  // Archive requests more than without prefetching, as a share of those.
  double extra(const Report& none) const;
};

Report simulate(const Trace& trace, const SimulatorSettings& settings, Method& method);

}  // namespace forelog::predictor::replay
