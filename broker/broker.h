// broker.h: one broker: builds its parts in the order of the layers, starts them left to right, stops them right to
// left.
//
// Knows the world only through Env, so the simulator runs it as it is. Made, started and stopped on core 0.
#pragma once

#include "broker/all_settings.h"
#include "broker/env/env.h"

#include <memory>
#include <string>
#include <vector>

namespace forelog {

class MetricsRegistry;
namespace prefetch {
class HintSink;
}

class Broker {
 public:
  Broker(env::Env& env, AllSettings settings);
  ~Broker();  // after `stop`

  // Recovers, opens all partitions, listens. Fails with what to do about it: an address taken, a damaged file.
  Task<Result<void>> start();
  // Answers what is in flight, closes every partition; bounded by seconds. Also after a start that failed.
  Task<void> stop();

  // Where it listens, ports resolved; after `start`.
  const std::vector<cluster::ListenerSpec>& listeners() const;
  // Where plans may be offered without Thrift: the simulator's predictor.
  prefetch::HintSink& hints();
  // What is counted, by core; each may be collected on its core only.
  std::vector<const MetricsRegistry*> metrics() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace forelog
