// ours.h: the whole loop in one process: the broker's read-ahead and the triggers of plans at once, and the predictor's
// model, whose plans reach the broker after the loop's delay.
#pragma once

#include "predictor/model.h"
#include "predictor/replay/baselines.h"
#include "predictor/replay/broker_side.h"

#include <deque>
#include <functional>
#include <unordered_map>

namespace forelog::predictor::replay {

struct OursSettings {
  Duration latency = 50ms;
  Duration loop_delay{};
  Bytes read_ahead_share = 64_MiB;
  bool read_ahead = true;
  ModelSettings model{};
};

class Ours final : public Method {
 public:
  explicit Ours(OursSettings settings);
  std::string name() const override { return "ours"; }
  void on_read(const ReadEvent& event, WantedList& out) override;
  void on_time(Instant now, WantedList& out) override;
  std::optional<Instant> next_wake() const override;
  void on_outcome(std::uint64_t tag, const Place& place, bool used, Instant now) override;

  const Model& model() const { return model_; }
  // Every hint when it is given: what a plan names at once, or when its trigger is touched.
  std::function<void(Instant decided, const Wanted&)> on_hint;

 private:
  void release(Instant now, WantedList& out);
  void tell(Instant now, const WantedList& wanted, std::size_t from) const;

  OursSettings settings_;
  ReadAheadMethod read_ahead_;
  Model model_;
  BrokerSide broker_;
  std::vector<Accepted> accepted_;
  std::optional<Place> last_ahead_;  // loaded by the read-ahead and just used
  struct Delayed {
    Instant at;
    prefetch::Plan plan;
  };
  std::deque<Delayed> delayed_;
};

}  // namespace forelog::predictor::replay
