// plan_notes.h: what happened to plans lately, as lines of JSON for `forelog plans --follow`.
//
// Pure, bounded, one per core.
#pragma once

#include "broker/prefetch/hint.h"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace forelog::prefetch {

// One line: something that happened to a plan, or to an extent that the broker's own rules named.
struct PlanNote {
  std::int64_t sequence = 0;
  std::string json;
};

class PlanNotes {
 public:
  explicit PlanNotes(CoreId core, std::size_t notes_max = 1024) : core_(core), notes_max_(notes_max) {}

  void offered(const Plan& plan, const PlanAnswer& answer, WallTime wall);
  void ended(const OutcomeEvent& event, WallTime wall);

  // Those behind `sequence`. All where that has not been given yet: whoever asks has it from before a restart.
  std::vector<PlanNote> since(std::int64_t sequence) const;

 private:
  void add(std::string json);

  CoreId core_;
  std::size_t notes_max_;
  std::int64_t sequence_ = 0;
  std::deque<PlanNote> notes_;
};

}  // namespace forelog::prefetch
