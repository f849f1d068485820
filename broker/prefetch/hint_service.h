// hint_service.h: the Thrift server that takes plans from the predictor.
//
// Runs on Thrift's threads: validates, converts, posts to the core that owns each plan's partition, waits for the
// answers. Holds none of the broker's state. Everything that comes in is taken for hostile: frames, connections, plans
// a call and calls waiting are bounded; what is over is refused, and the connection that sends no Thrift is closed.
#pragma once

#include "broker/base/result.h"
#include "broker/env/clock.h"
#include "broker/env/network.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/settings.h"

#include <atomic>
#include <memory>
#include <string>

namespace forelog::prefetch {

// What `describe` answers.
struct HintServiceInfo {
  BrokerId broker{0};
  std::string hint_endpoint;
  std::int64_t boot_id = 0;
  bool takes_plans = true;
};

// Counted on Thrift's threads, read on any.
struct HintServiceCounts {
  std::atomic<std::int64_t> plans_accepted{0}, plans_refused{0}, calls_refused{0}, connections_broken{0};
};

class HintService {
 public:
  // `sink` is called on Thrift's threads and outlives this. `clock` dates the plans.
  HintService(const env::Clock& clock, HintSink& sink, HintServiceInfo info, const HintServiceSettings& settings);
  ~HintService();  // stops

  // Listens and serves on threads of its own. Port 0 is chosen by the system. Fails Io when the address is taken.
  Result<env::Endpoint> start();
  void stop();  // joins its threads; calls in progress are answered with `stopping`

  const HintServiceCounts& counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace forelog::prefetch
