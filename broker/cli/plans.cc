// plans: what plans came in, and what became of them.

#include "broker/cli/command.h"
#include "broker/cli/http_client.h"
#include "broker/cli/json_text.h"

#include <chrono>
#include <thread>

#include <fmt/format.h>

namespace forelog::cli {
namespace {

Result<void> run(const Arguments& arguments) {
  auto admin = arguments.text("admin", kDefaultAdmin);
  auto since = arguments.text("since", "0");
  bool following = false;
  do {
    auto body = http_get(admin, "/api/plans", {{"since", since}});
    // While following, a broker that restarts is waited for.
    if (!body && !following) return fail(std::move(body).error());
    if (body) {
      for (auto note : elements(*body)) fmt::print("{}\n", note);
      // Where the broker says to go on; one that has restarted counts anew.
      if (auto next = member(*body, "next"); !next.empty()) since = next;
      std::fflush(stdout);
    }
    following = arguments.has("follow") && std::ferror(stdout) == 0;
    if (following) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  } while (following && !interrupted());
  return {};
}

}  // namespace

Command plans_command() {
  return {.name = "plans",
          .summary = "what plans the predictor sent, and what became of them",
          .usage =
              "[--follow] [--since N] [--admin HOST:PORT]\n\n"
              "Prints one JSON object a line for each thing that happened to a plan: accepted, refused, run, used.\n"
              "  --follow           goes on until it is interrupted\n"
              "  --since N          only what came after this place, as an answer's `next` names it\n"
              "  --admin HOST:PORT  the broker's admin listener (127.0.0.1:9600)",
          .flags = {"since", "admin"},
          .switches = {"follow"},
          .run = &run};
}

}  // namespace forelog::cli
