// sidecar.h: the predictor as one object: records of the access log in, plans out, a snapshot now and then.
//
// Knows no sockets and no clock: the caller hands it records and takes the plans. One thread.
#pragma once

#include "predictor/model.h"
#include "predictor/observer.h"
#include "predictor/planner.h"
#include "predictor/settings.h"

#include <string>
#include <string_view>
#include <vector>

namespace forelog::predictor {

// What the predictor has done since it started, for people.
struct Insight {
  std::int64_t records = 0, malformed = 0, ignored = 0;
  std::int64_t reads = 0, announcements = 0, outcomes = 0;
  std::int64_t plans = 0, held_out = 0, late = 0;
  Duration lag{};  // of the newest record
  std::size_t memory_bytes = 0;
};

class Sidecar {
 public:
  // `wall` gives the first plan id: ids of different runs never meet.
  Sidecar(const PredictorSettings& settings, WallTime wall);

  // One record of the log. Appends the plans that it makes the predictor send. `now` is wall time, in which events are
  // laid out too.
  void take(std::string_view record, WallTime now, std::vector<Outgoing>& out);

  Insight insight() const;
  // Says what it knows by now, unless it has learnt nothing since it said so last.
  void log_insight();
  const Model& model() const { return model_; }
  const Observer& observer() const { return observer_; }

  std::string save() const;
  bool load(std::string_view snapshot);  // false: unreadable; then everything is as new

  // Wall time on the scale of events.
  static Instant instant(WallTime wall) { return Instant(wall.time_since_epoch()); }

 private:
  // `happened`: when the record was written, by its broker's wall clock; `wall`: now.
  void see(const Seen& seen, Instant happened, WallTime wall, std::vector<Outgoing>& out);

  PredictorSettings settings_;
  Observer observer_;
  Model model_;
  Planner planner_;
  Insight insight_;
  std::int64_t told_records_ = -1;
  std::vector<Seen> seen_;
  std::vector<Accepted> accepted_;
};

ModelSettings model_settings(const PredictorSettings& settings);

}  // namespace forelog::predictor
