// forelog-broker CONFIG [--set key=value]…

#include "broker/all_settings.h"
#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/config_file.h"
#include "broker/env/real/real_env.h"

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

namespace {

using namespace forelog;  // NOLINT: this is the program

constexpr Duration kUploadsAgeMin = 1h;

constexpr const char* kUsage =
    "usage: forelog-broker CONFIG [--set key=value]...\n"
    "       forelog-broker --help\n\n"
    "CONFIG is a server.properties with Kafka's names and ours; docs/settings.md lists them. --set lays one setting\n"
    "over the file. SIGTERM and SIGINT stop the broker cleanly.\n";

Result<AllSettings> read_arguments(const std::vector<std::string>& arguments) {
  SettingMap raw;
  bool has_file = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--set" && i + 1 < arguments.size()) {
      TRY(apply_flag(raw, arguments[++i]));
    } else if (!has_file && !arguments[i].starts_with("--")) {
      has_file = true;
      auto from_file = TRY(read_settings_file(arguments[i]));
      raw.merge(from_file);  // what --set said before stands
    } else {
      return fail(ErrorCode::kInvalidSetting, "'" + arguments[i] + "' is not understood; see --help");
    }
  }
  if (!has_file) return fail(ErrorCode::kInvalidSetting, "no CONFIG is given; see --help");
  return read_all_settings(std::move(raw));
}

env::RealEnvOptions options_of(const AllSettings& settings) {
  env::RealEnvOptions options;
  options.data_directory = settings.broker.log_dirs.front();
  options.cores = settings.broker.reactor_cores > 0
                      ? settings.broker.reactor_cores
                      : std::max(1, static_cast<int>(std::thread::hardware_concurrency() / 2));
  options.disk_threads = settings.log.disk_threads;
  options.cache_disk_threads = settings.cache.disk_path.empty() ? 0 : settings.cache.disk_threads;
  options.cache_disk_directory = settings.cache.disk_path;
  options.archive_url = settings.broker.archive_url;
  options.archive_first_byte_delay = settings.broker.archive_first_byte_delay;
  options.s3 = settings.s3;
  options.s3_uploads_prefix = settings.archive.prefix + "/";
  // Longer than the longest upload, whoever makes it.
  options.s3_uploads_stale_after = 2 * settings.archive.put_timeout + kUploadsAgeMin;
  return options;
}

// As many connections and files as the system lets this process have: the soft limit is often 1024.
void raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int fail_with(const Error& error) {
  std::fprintf(stderr, "forelog-broker: %s\n", error.text().c_str());
  return 1;
}

int run(const std::vector<std::string>& arguments) {
  raise_open_files_limit();
  auto settings = read_arguments(arguments);
  if (!settings) return fail_with(settings.error());
  auto opened = env::RealEnv::open(options_of(*settings));
  if (!opened) return fail_with(opened.error());
  auto& real = **opened;
  // Signals wait until this thread asks for them; the threads started below inherit that.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A peer that is gone and a file that may not grow are errors of the call, not ends of the process.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  if (auto started = real.start(); !started) return fail_with(started.error());

  auto archive_url = settings->broker.archive_url;
  Broker broker(real.env(), *std::move(settings));
  auto started = real.run(broker.start());
  int status = 0;
  if (started) {
    int signal = 0;
    sigwait(&signals, &signal);
    log_line(info, "stopping", {{"signal", signal}});
  } else {
    status = fail_with(started.error());
  }
  real.run(broker.stop());
  if (!real.stop()) log_line(warn, "archive_hangs", {{"archive", archive_url}});
  if (status == 0) log_line(info, "stopped");
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (const auto& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
  }
  return run(arguments);
}
