// gate.h: which candidates are worth an archive read.
//
// For each situation that a generator can name, the gate counts how often its candidates were read within the window in
// which they would still have been in the cache. It watches every candidate, fetched or not, so that it never blinds
// itself: what it suppressed and was read nonetheless speaks for the next one. Beside the situation, each job has its
// own record with each generator: a client whose reads refute what is foreseen for it lowers its own chances, not
// others'. Reads that the cache would have answered anyway say nothing, and are left out.
//
// Pure; one thread; time comes with the events. Bounded: `watched_max` candidates, `places_max` places, `jobs_max`
// jobs.
#pragma once

#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

#include <array>
#include <deque>
#include <vector>

namespace forelog::predictor {

struct GateSettings {
  Duration window = 20s;  // about the time that an unread prefetch stays in the cache
  std::size_t watched_max = 200'000;
  std::size_t places_max = 500'000;
  std::size_t jobs_max = 20'000;
};

class Gate {
 public:
  explicit Gate(GateSettings settings);
  // How often the generator thinks its situations come true, until the gate has seen for itself.
  void introduce(const Generator& generator);

  // The probability that `candidate` is read within the window.
  double estimate(const Candidate& candidate);
  // The same, and watches what becomes of it.
  double judge(const Candidate& candidate, Instant now);
  // Somebody read. Tell before judging what generators make of the read.
  void on_read(const ReadEvent& event);

  double expected(GeneratorId generator, int situation) const;  // of that situation, all jobs together
  std::size_t memory_bytes() const;
  void save(ByteWriter& out) const;
  bool load(ByteReader& in);

 private:
  struct Cell {
    float prior = 0.25F;
    float hits = 0, seen = 0;
    double p() const;
  };
  struct Record {  // of a job with a generator
    float hits = 0, foreseen = 0;
  };
  struct Watched {
    Place place;
    Instant at;
    float foreseen;
    std::uint16_t situation;
    GeneratorId generator;
    JobId job;
  };
  struct LastRead {
    Place place;
    Instant at;
    bool anyway = false;  // the cache had it without our doing
  };
  Cell& cell(GeneratorId generator, int situation) {
    return cells_[static_cast<std::size_t>(generator)][static_cast<std::size_t>(situation)];
  }
  static std::uint64_t record_key(GeneratorId generator, JobId job) {
    return mix((std::uint64_t{job} << 8) | static_cast<std::uint64_t>(generator));
  }
  void settle(Instant now);

  GateSettings settings_;
  std::array<std::array<Cell, kSituations>, kGenerators> cells_{};
  BoundedMap<std::uint64_t, Record> records_;
  std::deque<Watched> watched_;  // in order of time
  std::vector<LastRead> reads_;  // a ring; `reads_end_` counts from 1
  PositionIndex read_index_;
  std::uint64_t reads_end_ = 1;
};

}  // namespace forelog::predictor
