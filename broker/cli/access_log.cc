// access-log: the records of the access log, as JSON lines.

#include "broker/base/log.h"
#include "broker/cli/access_log_json.h"
#include "broker/cli/command.h"
#include "predictor/access_reader.h"

#include <fmt/format.h>
#include <unistd.h>

namespace forelog::cli {
namespace {

Result<void> run(const Arguments& arguments) {
  auto idle_max = TRY(arguments.integer("idle", 5, 1, 3600));
  predictor::AccessReaderSettings settings;
  settings.bootstrap_servers = arguments.text("bootstrap-server", "127.0.0.1:9092");
  // A group of its own for each run; nothing is committed, so it leaves no trace.
  settings.group = "__forelog-access-log-" + std::to_string(getpid());
  settings.client_id = "forelog";
  settings.newest = arguments.has("follow") && !arguments.has("from-beginning");
  auto reader = TRY(predictor::AccessReader::open(settings, {}));
  int idle_seconds = 0;
  auto print = [](const predictor::LogRecord& record) {
    auto json = access_log_json(record.value);
    if (json) {
      fmt::print("{}\n", *json);
    } else {
      log_line(warn, "record_skipped", {{"offset", record.offset}, {"error", json.error()}});
    }
  };
  while (!interrupted() && std::ferror(stdout) == 0) {
    auto count = reader->poll(1s, 10'000, print);
    std::fflush(stdout);
    idle_seconds = count > 0 ? 0 : idle_seconds + 1;
    if (!arguments.has("follow") && idle_seconds >= idle_max) break;
  }
  if (!arguments.has("follow") && reader->positions().empty() && !interrupted()) {
    return fail(ErrorCode::kUnavailable, "nothing came from " + settings.bootstrap_servers);
  }
  return {};
}

}  // namespace

Command access_log_command() {
  return {.name = "access-log",
          .summary = "who read what, as JSON lines",
          .usage =
              "[--follow] [--from-beginning] [--idle SECONDS] [--bootstrap-server HOST:PORT]\n\n"
              "Prints the records of the topic __access_log: readers, accesses, group events, outcomes of prefetches.\n"
              "  --follow                      from now on, until it is interrupted\n"
              "  --from-beginning              with --follow: all that is kept, first\n"
              "  --idle SECONDS                without --follow: ends when nothing came for so long (5)\n"
              "  --bootstrap-server HOST:PORT  a broker (127.0.0.1:9092)",
          .flags = {"bootstrap-server", "idle"},
          .switches = {"follow", "from-beginning"},
          .run = &run};
}

}  // namespace forelog::cli
