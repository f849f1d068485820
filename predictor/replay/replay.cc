#include "predictor/replay/replay.h"

#include "broker/base/limits.h"
#include "predictor/replay/ours.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>

#include <fmt/format.h>

namespace forelog::predictor::replay {
namespace {

bool has(const std::vector<std::string>& list, std::string_view word) {
  return std::ranges::find(list, word) != list.end();
}

// Hints as anybody's simulator can judge them.
class HintFile {
 public:
  static Result<std::unique_ptr<HintFile>> open(const std::string& path) {
    auto* file = std::fopen(path.c_str(), "w");
    if (file == nullptr) return fail(ErrorCode::kIo, path);
    std::fputs("decided_ms,block,needed_by_ms,score,reason\n", file);
    return std::unique_ptr<HintFile>(new HintFile(file));
  }
  HintFile(const HintFile&) = delete;
  HintFile& operator=(const HintFile&) = delete;
  ~HintFile() { std::fclose(file_); }
  void write(Instant decided, const Wanted& wanted, bool addressed) {
    auto ms = [](Instant t) { return to_seconds(t.time_since_epoch() - 1s) * 1000; };
    auto block = addressed ? fmt::format("p{}:{}", wanted.place.stream, wanted.place.block)
                           : fmt::format("h{}", wanted.place.block);  // the key's hash: what we know of it
    fmt::print(file_, "{:.1f},{},{:.1f},{:.3f},{}\n", ms(decided), block, ms(wanted.needed_by), wanted.score,
               wanted.reason);
  }

 private:
  explicit HintFile(std::FILE* file) : file_(file) {}
  std::FILE* file_;
};

Result<std::unique_ptr<Method>> make_method(const std::string& name, const ReplayOptions& options, const Trace& trace,
                                            Bytes cache) {
  auto share = cache * 2 / 5;  // what unread prefetches may hold
  if (name == "none") return std::make_unique<NoPrefetch>();
  if (name == "read-ahead") return std::make_unique<ReadAheadMethod>(options.latency, share);
  if (name == "reach") return std::make_unique<Reach>(trace, options.latency);
  if (name.starts_with("next-")) {
    int count = std::atoi(name.c_str() + 5);
    if (count >= 1 && count <= 1000) return std::make_unique<NextBlocks>(count);
  }
  if (name == "ours") {
    OursSettings settings{.latency = options.latency,
                          .loop_delay = options.loop_delay,
                          .read_ahead_share = share,
                          .read_ahead = !has(options.without, "read-ahead"),
                          .model = model_settings(options)};
    return std::make_unique<Ours>(settings);
  }
  return fail(ErrorCode::kInvalidSetting, "method " + name + ": none, next-N, read-ahead, ours or reach");
}

}  // namespace

ModelSettings model_settings(const ReplayOptions& options) {
  ModelSettings settings;
  settings.lead = options.latency + options.loop_delay;
  settings.budget.waste_share = options.waste_share;
  // The simulator's own budget is the hard one.
  settings.budget.requests_per_second = 1e9;
  settings.budget.bytes_per_second = 1_TiB;
  settings.strided_runs = !has(options.without, "strided-runs");
  settings.temporal_streams = !has(options.without, "temporal-streams");
  settings.sessions = !has(options.without, "sessions");
  return settings;
}

Result<std::vector<Report>> run(const ReplayOptions& options, const Trace& trace) {
  SimulatorSettings settings{
      .latency = options.latency, .cache_blocks = 0, .requests_per_second = 0, .mode = options.mode};
  settings.cache_blocks = std::max<std::size_t>(
      8, static_cast<std::size_t>(static_cast<double>(trace.distinct_blocks) * options.cache_share));
  auto budget = options.requests_per_second > 0 ? options.requests_per_second : trace.reads_per_second_p99();
  settings.requests_per_second = std::max(1.0, budget * options.budget_factor);
  auto cache = static_cast<Bytes>(settings.cache_blocks) * kBlockSize;

  std::unique_ptr<HintFile> hints;
  if (!options.emit_hints.empty()) hints = TRY(HintFile::open(options.emit_hints));
  bool addressed = !trace.requests.empty() && trace.requests.front().addressed;

  std::vector<std::string> names = {"none"};
  for (const auto& name : options.methods)
    if (name != "none") names.push_back(name);
  std::vector<Report> reports;
  for (const auto& name : names) {
    auto method = TRY(make_method(name, options, trace, cache));
    if (auto* ours = dynamic_cast<Ours*>(method.get()); ours != nullptr && hints) {
      ours->on_hint = [&](Instant decided, const Wanted& wanted) { hints->write(decided, wanted, addressed); };
    }
    auto begin = std::clock();
    reports.push_back(simulate(trace, settings, *method));
    reports.back().seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  }
  return reports;
}

std::string table(const std::vector<Report>& reports) {
  std::string out = fmt::format("{:<12} {:>8} {:>10} {:>8} {:>9} {:>9} {:>9} {:>7} {:>9} {:>8} {:>8} {:>8}\n", "method",
                                "stall -%", "precision%", "extra %", "p50 ms", "p99 ms", "stall s", "hit %", "fetched",
                                "late", "unused", "cpu s");
  for (const auto& r : reports) {
    const auto& none = reports.front();
    out += fmt::format(
        "{:<12} {:>8.1f} {:>10.1f} {:>8.1f} {:>9.1f} {:>9.1f} {:>9.1f} {:>7.1f} {:>9} {:>8} {:>8} {:>8.2f}\n", r.method,
        100 * r.stall_removed(none), 100 * r.precision(), 100 * r.extra(none), r.p50_ms, r.p99_ms, r.stall_seconds,
        100 * r.hit_ratio(), r.fetched, r.late, r.unused, r.seconds);
  }
  return out;
}

}  // namespace forelog::predictor::replay
