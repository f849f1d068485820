// strided_runs.h: readers that advance by the same step, each through its own partition (generator a).
//
// Per (reader, stream) the step is what most of the recent deltas agree on (Leap, ATC'20), so that a few reads out of
// turn change nothing. How far ahead: as many steps as fit into the lead time at the reader's quick pace, wider after a
// late read, narrower after waste (AMP, FAST'07). Pure.
#pragma once

#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

#include <array>

namespace forelog::predictor {

struct StridedRunsSettings {
  std::size_t runs_max = 100'000;
  Duration lead = 300ms;        // from the decision to bytes in memory
  std::int32_t depth_max = 64;  // steps
};

class StridedRuns final : public Generator {
 public:
  explicit StridedRuns(StridedRunsSettings settings) : settings_(settings), runs_(settings.runs_max) {}

  GeneratorId id() const override { return GeneratorId::strided_runs; }
  void observe(const ReadEvent& event, std::vector<Candidate>& out) override;
  double prior(int situation) const override;
  void save(ByteWriter& out) const override;
  bool load(ByteReader& in) override;
  std::size_t memory_bytes() const override { return runs_.memory_bytes(); }

 private:
  static constexpr int kDeltas = 6;
  struct Run {
    std::array<std::int32_t, kDeltas> deltas{};  // newest at `next_delta - 1`
    std::uint8_t next_delta = 0;
    std::uint8_t known = 0;     // deltas seen, at most kDeltas
    std::uint16_t length = 0;   // steps in a row that went as foreseen
    std::int64_t last = 0;      // block
    std::int64_t frontier = 0;  // last block proposed
    std::int64_t step = 0;      // of the current proposals; 0: none
    Instant at;
    float gap_ms = 0;  // a quick one: the pace inside a burst counts, not the pauses between
    float widen = 1;   // by lateness and waste
  };
  struct Key {
    ReaderId reader = 0;
    StreamId stream = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const { return mix((std::uint64_t{k.reader} << 32) | k.stream); }
  };
  struct Vote {
    std::int64_t step = 0;
    int votes = 0;
  };
  static Vote majority(const Run& run);
  static int situation_of(const Run& run, const Vote& vote);
  void advance(Run& run, const ReadEvent& event, std::int64_t delta) const;

  StridedRunsSettings settings_;
  BoundedMap<Key, Run, KeyHash> runs_;
};

}  // namespace forelog::predictor
