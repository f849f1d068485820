// model.h: generators, gate and budget as one: events in, what to fetch out. The sidecar and the offline replay drive
// the same object. Pure; one thread; time comes with the events.
#pragma once

#include "predictor/budget.h"
#include "predictor/gate.h"
#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

#include <memory>
#include <vector>

namespace forelog::predictor {

class Sessions;

struct ModelSettings {
  Duration lead = 300ms;  // from an event to bytes in memory that it made us fetch
  int horizon_leads = 4;  // how many leads ahead streams are rolled out
  std::size_t tracked_blocks = 1'000'000;
  GateSettings gate{};
  BudgetSettings budget{};
  Duration session_idle = 60s;
  Duration chain_life = 600s;  // a chain is told to the broker again after this
  bool strided_runs = true, temporal_streams = true, sessions = true;
};

struct Accepted {
  Candidate candidate{};
  double probability = 0;
};

class Model {
 public:
  explicit Model(ModelSettings settings);

  void observe(const ReadEvent& event, std::vector<Accepted>& out);
  void announce(const Announcement& announcement, std::vector<Accepted>& out);
  // What became of bytes fetched for a candidate of ours.
  void on_outcome(GeneratorId generator, Bytes used, Bytes unused, Instant now) {
    budget_.on_outcome(generator, used, unused, now);
  }

  // Read from the archive without our doing.
  void on_demand(Bytes bytes, Instant now) { budget_.on_demand(bytes, now); }

  const Gate& gate() const { return gate_; }
  const Budget& budget() const { return budget_; }
  struct Counts {
    std::int64_t proposed = 0, accepted = 0;
  };
  const Counts& counts(GeneratorId generator) const { return counts_[static_cast<std::size_t>(generator)]; }
  std::size_t memory_bytes() const;

  // Each part by its name, so that a part that changed its format starts empty and the others go on.
  void save(ByteWriter& out) const;
  // False when the snapshot as a whole is unreadable; the model is then as new.
  bool load(ByteReader& in);

 private:
  void filter(Instant now, std::vector<Accepted>& out);
  bool known(const Candidate& candidate, Instant now);

  ModelSettings settings_;
  std::vector<std::unique_ptr<Generator>> generators_;
  Sessions* sessions_ = nullptr;  // one of them
  Gate gate_;
  Budget budget_;
  BoundedMap<Place, Instant> planned_;                   // fetched ahead, until when that counts
  BoundedMap<std::uint64_t, Instant> chains_, follows_;  // told, until when that counts
  std::vector<Candidate> candidates_;                    // of the present event
  std::array<Counts, kGenerators> counts_{};
};

}  // namespace forelog::predictor
