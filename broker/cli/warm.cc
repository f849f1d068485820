// warm: announces that a range of a topic will be read.

#include "broker/base/json.h"
#include "broker/cli/command.h"
#include "broker/cli/http_client.h"

#include <fmt/format.h>

namespace forelog::cli {
namespace {

struct Answer {
  std::int32_t partitions = 0;
  std::int32_t accepted = 0;
  std::vector<std::string> refused;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("partitions", m.partitions);
    field("accepted", m.accepted);
    field("refused", m.refused);
  };
};

Result<void> run(const Arguments& arguments) {
  Query query{{"topic", arguments.positional()[0]}};
  for (const auto* name : {"from", "to", "partition"})
    if (arguments.has(name)) query[name] = arguments.text(name);
  if (!arguments.has("from")) return fail(ErrorCode::kInvalidSetting, "--from is missing");
  auto body = TRY(http_post(arguments.text("admin", kDefaultAdmin), "/api/warm", query));
  auto answer = TRY(from_json<Answer>(body));
  fmt::print("{} of {} partitions accepted\n", answer.accepted, answer.partitions);
  for (const auto& refusal : answer.refused) fmt::print("refused: {}\n", refusal);
  if (answer.accepted == 0) return fail(ErrorCode::kUnavailable, "nothing is being warmed");
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
