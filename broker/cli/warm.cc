// warm: announces that a range of a topic will be read.

#include "broker/cli/command.h"
#include "broker/cli/http_client.h"

#include <fmt/format.h>

namespace forelog::cli {
namespace {

Result<void> run(const Arguments& arguments) {
  Query query{{"topic", arguments.positional()[0]}};
  for (const auto* name : {"from", "to", "partition"})
    if (arguments.has(name)) query[name] = arguments.text(name);
  if (!arguments.has("from")) return fail(ErrorCode::kInvalidSetting, "--from is missing");
  auto body = TRY(http_post(arguments.text("admin", kDefaultAdmin), "/api/warm", query));
  if (!body.empty()) fmt::print("{}{}", body, body.back() == '\n' ? "" : "\n");
  return {};
}

}  // namespace

Command warm_command() {
  return {.name = "warm",
          .summary = "announce that a range of a topic will be read",
          .usage =
              "TOPIC --from WHERE [--to WHERE] [--partition N] [--admin HOST:PORT]\n\n"
              "Has the broker load what will be read into its memory, as its budgets allow.\n"
              "  --from WHERE       an offset, or a time: 2026-11-23T09:00:00Z, or @ and milliseconds since 1970\n"
              "  --to WHERE         the same; left out: the end of the log\n"
              "  --partition N      only this partition\n"
              "  --admin HOST:PORT  the broker's admin listener (127.0.0.1:9600)",
          .flags = {"from", "to", "partition", "admin"},
          .switches = {},
          .positional_min = 1,
          .positional_max = 1,
          .run = &run};
}

}  // namespace forelog::cli
