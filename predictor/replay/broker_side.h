// broker_side.h: the loop's other half in the replay: accepted candidates become plans in the planner's words, and the
// broker's own plan runner does with them what it does in a broker: warm, follow, chain, with their triggers and
// budgets.
//
// Pure. A stream of the trace is a partition whose offsets are its blocks. Numbers of streams and clients stay what
// they are to everybody else: nothing is drawn from them but equality.
#pragma once

#include "broker/prefetch/plan_runner.h"
#include "predictor/block_map.h"
#include "predictor/model.h"
#include "predictor/planner.h"
#include "predictor/replay/method.h"

#include <optional>
#include <vector>

namespace forelog::predictor::replay {

class BrokerSide {
 public:
  BrokerSide();

  // The read as the model is told of it, with the numbers by which plans will name stream and job. None when there are
  // too many streams.
  std::optional<ReadEvent> as_seen(const ReadEvent& read);
  std::vector<prefetch::Plan> plans(const std::vector<Accepted>& accepted, Instant now);

  void offer(prefetch::Plan plan, Instant now);
  // Triggers of plans; `read` is in the trace's numbers.
  void on_read(const ReadEvent& read, WantedList& out);
  void on_time(Instant now, WantedList& out);
  std::optional<Instant> next_due(Instant now) const;

 private:
  void take(const prefetch::LoadRequest& load, WantedList& out);

  BlockMap blocks_;
  Names jobs_;
  Planner planner_;
  prefetch::PlanRunner runner_;
};

}  // namespace forelog::predictor::replay
