// forelog: looks into brokers, files and traces. One file a command.

#include "broker/cli/command.h"

#include <csignal>
#include <cstdio>

#include <fmt/format.h>

namespace forelog::cli {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;
extern "C" void on_signal(int) { g_interrupted = 1; }

void print_help(const std::vector<Command>& commands) {
  fmt::print("usage: forelog COMMAND …\n\n");
  for (const auto& command : commands) fmt::print("  {:<12} {}\n", command.name, command.summary);
  fmt::print("\nforelog COMMAND --help says more.\n");
}

int run(const Command& command, const std::vector<std::string>& words) {
  auto switches = command.switches;
  switches.insert("help");
  auto arguments = Arguments::parse(words, command.flags, switches);
  if (arguments && arguments->has("help")) {
    fmt::print("usage: forelog {} {}\n", command.name, command.usage);
    return 0;
  }
  auto wrong = [&](std::string_view what) {
    fmt::print(stderr, "forelog {}: {}\nTry forelog {} --help.\n", command.name, what, command.name);
    return 2;
  };
  if (!arguments) return wrong(arguments.error().context);
  auto count = arguments->positional().size();
  if (count < command.positional_min) return wrong("an argument is missing");
  if (count > command.positional_max) return wrong("too many arguments");
  auto done = command.run(*arguments);
  if (done) return 0;
  if (done.error().code == ErrorCode::kInvalidSetting) return wrong(done.error().context);
  fmt::print(stderr, "forelog {}: {}\n", command.name, done.error().text());
  return 1;
}

}  // namespace

bool interrupted() { return g_interrupted != 0; }

}  // namespace forelog::cli

int main(int argc, char** argv) {
  using namespace forelog::cli;
  const std::vector<Command> commands = {shards_command(),  plans_command(),  warm_command(),   access_log_command(),
                                         inspect_command(), replay_command(), archive_command()};
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_help(commands);
    return words.empty() ? 2 : 0;
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A pager that has seen enough is no reason to be killed.
  std::signal(SIGPIPE, SIG_IGN);
  for (const auto& command : commands)
    if (command.name == words[0]) return run(command, {words.begin() + 1, words.end()});
  fmt::print(stderr, "forelog: no command {}\n", words[0]);
  print_help(commands);
  return 2;
}
