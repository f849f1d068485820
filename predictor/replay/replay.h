// replay.h: `forelog replay`: a trace with each method in turn, and the table of what they did.
#pragma once

#include "predictor/model.h"
#include "predictor/replay/simulator.h"

#include <string>
#include <vector>

namespace forelog::predictor::replay {

struct ReplayOptions {
  std::string trace;
  Duration latency = 50ms;
  double cache_share = 0.05;       // of the distinct blocks
  double requests_per_second = 0;  // 0: the 99th percentile of reads a second
  double budget_factor = 1;        // of that percentile
  Duration loop_delay{};
  Mode mode = Mode::open;
  std::vector<std::string> methods = {"none", "next-4", "read-ahead", "ours", "reach"};
  std::string emit_hints;  // a file; empty: none
  double waste_share = 0.10;
  std::vector<std::string> without;  // generators to leave out, or "read-ahead"
};

// Runs all methods; "none" comes first whatever is asked, since the others are measured against it.
Result<std::vector<Report>> run(const ReplayOptions& options, const Trace& trace);
std::string table(const std::vector<Report>& reports);

ModelSettings model_settings(const ReplayOptions& options);

}  // namespace forelog::predictor::replay
