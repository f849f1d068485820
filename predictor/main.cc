// forelog-predictor: reads the access log, learns, sends plans. Killing it loses nothing but time.

#include "broker/base/log.h"
#include "broker/env/real/blocking_pool.h"
#include "broker/env/real/leveldb_store.h"
#include "broker/env/real/reactors.h"
#include "predictor/access_reader.h"
#include "predictor/hint_client.h"
#include "predictor/sidecar.h"
#include "predictor/state_store.h"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace forelog::predictor {
namespace {

volatile std::sig_atomic_t g_stop = 0;
extern "C" void on_signal(int) { g_stop = 1; }

constexpr const char* kUsage =
    "usage: forelog-predictor --bootstrap-server HOST:PORT [--config FILE] [--set key=value]… [--help]\n"
    "Reads the access log of the brokers, learns who will read what next, and sends them plans.\n\nsettings:\n";

struct Arguments {
  std::string bootstrap;
  PredictorSettings settings;
  bool help = false;
};

Result<std::string> file_text(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return fail(ErrorCode::kNotFound, path);
  std::string out;
  char piece[4096];
  while (auto n = std::fread(piece, 1, sizeof piece, file.get())) out.append(piece, n);
  return out;
}

Result<void> refuse_unknown(const SettingMap& settings) {
  for (const auto& [key, value] : settings) {
    bool known = false;
    for (const auto& row : setting_rows<PredictorSettings>()) known = known || row.name == key;
    if (!known) return fail(ErrorCode::kInvalidSetting, "unknown setting " + key);
  }
  return {};
}

Result<Arguments> parse(int argc, char** argv) {
  Arguments out;
  SettingMap settings;
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    if (flag == "--help" || flag == "-h") {
      out.help = true;
      return out;
    }
    if (i + 1 >= argc) return fail(ErrorCode::kInvalidSetting, flag + ": unknown, or its value is missing");
    std::string value = argv[++i];
    if (flag == "--bootstrap-server") {
      out.bootstrap = value;
    } else if (flag == "--set") {
      TRY(apply_override(settings, value));
    } else if (flag == "--config") {
      auto text = TRY(file_text(value));
      settings.merge(TRY(parse_properties(text)));  // what --set says stays
    } else {
      return fail(ErrorCode::kInvalidSetting, flag + ": unknown");
    }
  }
  if (out.bootstrap.empty()) return fail(ErrorCode::kInvalidSetting, "--bootstrap-server is missing");
  TRY(refuse_unknown(settings));
  out.settings = TRY(read_settings<PredictorSettings>(settings));
  return out;
}

template <class T>
Task<void> deliver(Task<T> task, std::shared_ptr<std::promise<T>> promise) {
  promise->set_value(co_await std::move(task));
}

// Runs a task on the only core and waits for it, from outside.
template <class T>
T run_on(env::Reactors& reactors, Task<T> task) {
  auto promise = std::make_shared<std::promise<T>>();
  auto future = promise->get_future();
  reactors.spawn(CoreId{0}, deliver(std::move(task), promise));
  return future.get();
}

// The state on disk, with the threads that it takes.
class State {
 public:
  static Result<std::unique_ptr<State>> open(const std::string& directory) {
    auto out = std::unique_ptr<State>(new State);
    out->store_ = TRY(env::LevelDbStore::open(directory, out->pool_));
    out->snapshots_ = std::make_unique<StateStore>(*out->store_);
    out->reactors_.start();
    return out;
  }
  ~State() {
    pool_.stop();
    reactors_.stop();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  env::Clock& clock() { return reactors_.clock(); }
  Result<std::optional<Snapshot>> load() { return run_on(reactors_, snapshots_->load()); }
  void save(const Sidecar& sidecar, const Positions& positions) {
    auto done = run_on(reactors_, snapshots_->save({positions, sidecar.save()}));
    if (!done) log_line(warn, "snapshot_failed", {{"error", done.error()}});
  }

 private:
  State() : reactors_(1, quick_), pool_(1) {}
  env::QuickClients quick_;  // none: nobody connects here
  env::Reactors reactors_;
  env::BlockingPool pool_;
  std::unique_ptr<env::LevelDbStore> store_;
  std::unique_ptr<StateStore> snapshots_;
};

Result<void> run(const Arguments& arguments) {
  const auto& settings = arguments.settings;
  std::error_code unmade;  // then opening the store says why
  std::filesystem::create_directories(settings.state_directory, unmade);
  auto state = TRY(State::open(settings.state_directory));
  auto& clock = state->clock();

  auto sidecar = std::make_unique<Sidecar>(settings, clock.wall());
  Positions positions;
  if (auto snapshot = TRY(state->load())) {
    if (sidecar->load(snapshot->model)) {
      positions = snapshot->positions;
    } else {
      sidecar = std::make_unique<Sidecar>(settings, clock.wall());
    }
  }
  AccessReaderSettings reading{
      .bootstrap_servers = arguments.bootstrap, .group = settings.group, .topic = settings.topic};
  bool resumed = !positions.empty();
  auto reader = TRY(AccessReader::open(reading, std::move(positions)));
  HintClient hints({}, [&clock] { return Sidecar::instant(clock.wall()); });
  log_line(info, "predictor_started", {{"bootstrap", arguments.bootstrap}, {"resumed", resumed ? "yes" : "no"}});

  auto saved = clock.now(), told = clock.now();
  std::int64_t unsaved = 0;
  std::vector<Outgoing> plans;
  while (g_stop == 0) {
    auto take = [&](const LogRecord& record) { sidecar->take(record.value, clock.wall(), plans); };
    unsaved += static_cast<std::int64_t>(reader->poll(200ms, 1000, take));
    if (!plans.empty()) hints.offer(std::exchange(plans, {}));
    auto now = clock.now();
    if (unsaved > 0 && now - saved >= settings.snapshot_interval) {
      state->save(*sidecar, reader->positions());
      reader->commit();
      saved = now, unsaved = 0;
    }
    if (now - told >= settings.insight_interval) sidecar->log_insight(), told = now;
  }
  log_line(info, "predictor_stopping");
  if (unsaved > 0) {
    state->save(*sidecar, reader->positions());
    reader->commit();
  }
  sidecar->log_insight();
  return {};
}

}  // namespace
}  // namespace forelog::predictor

int main(int argc, char** argv) {
  using namespace forelog;
  auto arguments = predictor::parse(argc, argv);
  if (!arguments) {
    fmt::print(stderr, "forelog-predictor: {}\n{}", arguments.error().context, "Try --help.\n");
    return 2;
  }
  if (arguments->help) {
    fmt::print("{}", predictor::kUsage);
    for (const auto& row : setting_rows<predictor::PredictorSettings>()) {
      fmt::print("  {} (default {})\n      {}\n", row.name, row.default_value.empty() ? "none" : row.default_value,
                 row.text);
    }
    return 0;
  }
  struct sigaction action{};
  action.sa_handler = predictor::on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  auto done = predictor::run(*arguments);
  if (!done) {
    log_line(error, "predictor_failed", {{"error", done.error()}});
    return 1;
  }
  return 0;
}
