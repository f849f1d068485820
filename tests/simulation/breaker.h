// breaker.h: breaks the world of a run, and heals it again.
#pragma once

#include "broker/env/simulated/simulated_world.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/trial.h"

#include <string>
#include <vector>

namespace forelog::simulation {

class Breaker {
 public:
  Breaker(Trial& trial, env::SimulatedWorld& world, env::SimulatedMachine& broker, env::SimulatedMachine& clients,
          std::uint64_t seed)
      : trial_(trial), world_(world), broker_(broker), clients_(clients), random_(seed) {}

  // Everything but the power cuts and the restart, which are the business of whoever runs the broker.
  void break_with(Fault fault);
  void heal();
  // What lasts no longer than the phase that brought it: damaged bytes on the disk come right again, because a broker
  // that starts may drop what is damaged, and stalled cores go on.
  void end_phase();

 private:
  struct Flip {
    env::Path path;
    Bytes at = 0;
    PartitionModel* model = nullptr;
  };
  void rot();
  void rot_cache();
  void flip_back();

  Trial& trial_;
  env::SimulatedWorld& world_;
  env::SimulatedMachine& broker_;
  env::SimulatedMachine& clients_;
  env::SeededRandom random_;
  std::vector<Flip> flips_;
};

}  // namespace forelog::simulation
