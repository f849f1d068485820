// planner.h: accepted candidates → plans in the words of the hint service, each for the broker that serves its
// partition.
//
// Pure. Candidates of one event become warm plans, one for each generator and broker and for each moment at which they
// are wanted, by tenths of a second; those with the same trigger one chain; each follower a plan of its own. Every plan
// has an id that tells its generator, an expiry, a byte budget and a reason.
#pragma once

#include "broker/prefetch/hint.h"
#include "predictor/block_map.h"
#include "predictor/model.h"
#include "predictor/observer.h"

#include <cstdint>
#include <string>
#include <vector>

namespace forelog::predictor {

struct PlannerSettings {
  std::string model_version = "1";
  Duration late_max = 1s;    // what was wanted longer ago is not worth sending
  Duration warm_life = 30s;  // after it was wanted
  Duration follow_life = 600s;
  Duration chain_life = 600s;
  std::int32_t chain_fires_max = 100;
};

struct Outgoing {
  std::string endpoint;
  prefetch::Plan plan;
};

class Planner {
 public:
  // `first_id` comes from the wall clock, so that no id is ever used again; ids grow from there.
  Planner(PlannerSettings settings, std::uint64_t first_id) : settings_(settings), next_id_(first_id) {}

  // Plans for `accepted`, decided at `now` (of the events' time) and `wall`.
  std::vector<Outgoing> plan(const std::vector<Accepted>& accepted, const BlockMap& blocks, const Names& jobs,
                             Instant now, WallTime wall);

  static GeneratorId generator_of(prefetch::PlanId plan);

 private:
  prefetch::Plan begin(const Accepted& accepted, Instant now, WallTime wall, Instant expires);
  std::optional<prefetch::Hint> hint(const Accepted& accepted, const BlockMap& blocks) const;

  PlannerSettings settings_;
  std::uint64_t next_id_;
};

}  // namespace forelog::predictor
