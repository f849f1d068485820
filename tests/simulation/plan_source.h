// plan_source.h: stands in for the predictor: offers plans to the broker, true ones, false ones, or far too many.
#pragma once

#include "broker/prefetch/hint.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/trial.h"

#include <memory>

namespace forelog::simulation {

struct PlanSourceState {
  bool stopping = false;
  std::uint64_t offered = 0, answered = 0, accepted = 0;
};

// Runs on the broker's machine, as Thrift's threads would, until told to stop.
Task<void> offer_plans(Trial& trial, env::Env& env, prefetch::HintSink& sink, PlanSource kind, std::uint64_t seed,
                       std::shared_ptr<PlanSourceState> state);

}  // namespace forelog::simulation
