// replay: a trace against a cache before a slow archive, with each way to prefetch.

#include "predictor/replay/replay.h"

#include "broker/cli/command.h"

#include <fmt/format.h>

namespace forelog::cli {
namespace {

using namespace predictor::replay;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  std::size_t from = 0;
  while (from <= text.size()) {
    auto comma = std::min(text.find(',', from), text.size());
    if (comma > from) out.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  return out;
}

Duration milliseconds(double ms) { return Duration(static_cast<std::int64_t>(ms * 1e6)); }

Result<void> run(const Arguments& arguments) {
  ReplayOptions options;
  options.trace = arguments.positional()[0];
  options.latency = milliseconds(TRY(arguments.number("latency", 50, 0.1, 60'000)));
  options.loop_delay = milliseconds(TRY(arguments.number("loop-delay", 0, 0, 60'000)));
  options.cache_share = TRY(arguments.number("cache", 0.05, 1e-6, 1));
  options.waste_share = TRY(arguments.number("waste", 0.10, 0, 1));
  auto budget = arguments.text("budget", "p99");
  if (budget == "p99/4") {
    options.budget_factor = 0.25;
  } else if (budget != "p99") {
    options.requests_per_second = TRY(arguments.number("budget", 0, 0.1, 1e9));
  }
  auto mode = arguments.text("mode", "open");
  if (mode != "open" && mode != "closed") return fail(ErrorCode::kInvalidSetting, "--mode is open or closed");
  options.mode = mode == "open" ? Mode::open : Mode::closed;
  if (arguments.has("methods")) options.methods = split(arguments.text("methods"));
  options.without = split(arguments.text("without"));
  options.emit_hints = arguments.text("emit-hints");

  auto trace = TRY(Trace::read(options.trace));
  if (arguments.has("renumber")) {
    trace = trace.renumbered(static_cast<std::uint64_t>(TRY(arguments.integer("renumber", 1, 0, INT64_MAX))));
  }
  fmt::print("{}: {} reads of {} blocks\n", options.trace, trace.requests.size(), trace.distinct_blocks);
  auto reports = TRY(predictor::replay::run(options, trace));
  fmt::print("{}", table(reports));
  return {};
}

}  // namespace

Command replay_command() {
  return {
      .name = "replay",
      .summary = "what prefetching would have done for a recorded load",
      .usage =
          "TRACE [--latency MS] [--cache 5%] [--budget p99|p99/4|N] [--loop-delay MS] [--mode open|closed]\n"
          "       [--methods LIST] [--without LIST] [--waste 10%] [--emit-hints FILE] [--renumber SEED]\n\n"
          "Runs a trace (CSV, also zstd: timestamp_ms,client,object_or_block,size) against the broker's cache before\n"
          "an archive, once with each method. The first half warms, the second is measured.\n"
          "  --latency MS       of one archive request (50)\n"
          "  --cache SHARE      of the distinct blocks (5%)\n"
          "  --budget N         prefetches a second; p99: what only one second in a hundred reads (p99)\n"
          "  --loop-delay MS    from a read to the plan that it causes, at the broker (0)\n"
          "  --mode             closed: a reader that waits reads later (open)\n"
          "  --methods LIST     of none, next-N, read-ahead, ours, reach (all)\n"
          "  --without LIST     leaves parts of ours out: strided-runs, temporal-streams, sessions, read-ahead\n"
          "  --waste SHARE      of all archive reads that ours may waste (10%)\n"
          "  --emit-hints FILE  every hint of ours: decided_ms,block,needed_by_ms,score,reason\n"
          "  --renumber SEED    numbers streams, keys and clients anew; no result may change",
      .flags = {"latency", "cache", "budget", "loop-delay", "mode", "methods", "without", "waste", "emit-hints",
                "renumber"},
      .switches = {},
      .positional_min = 1,
      .positional_max = 1,
      .run = &run};
}

}  // namespace forelog::cli
