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
  auto wait_max = TRY(arguments.integer("wait", 10, 1, 3600));
  predictor::AccessReaderSettings settings;
  settings.bootstrap_servers = arguments.text("bootstrap-server", "127.0.0.1:9092");
  // A group of its own for each run; nothing is committed, so it leaves no trace.
  settings.group = "__forelog-access-log-" + std::to_string(getpid());
  settings.client_id = "forelog";
  settings.newest = arguments.has("follow") && !arguments.has("from-beginning");
  auto reader = TRY(predictor::AccessReader::open(settings, {}));
  int waited = 0;
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
    waited = count > 0 ? 0 : waited + 1;
    if (!arguments.has("follow") && (reader->has_reached_end() || waited >= wait_max)) break;
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
              "[--follow] [--from-beginning] [--wait SECONDS] [--bootstrap-server HOST:PORT]\n\n"
              "Prints the records of the topic __access_log: readers, accesses, group events, outcomes of prefetches.\n"
              "  --follow                      from now on, until it is interrupted\n"
              "                                without it: all that is kept, up to the log's end at that moment\n"
              "  --from-beginning              with --follow: all that is kept, first\n"
              "  --wait SECONDS                without --follow: gives up when nothing came for so long (10)\n"
              "  --bootstrap-server HOST:PORT  a broker (127.0.0.1:9092)",
          .flags = {"bootstrap-server", "wait"},
          .switches = {"follow", "from-beginning"},
          .run = &run};
}

}  // namespace forelog::cli
