// command.h: the `forelog` command: its subcommands, their flags, and how they fail.
//
// Exit codes: 0 done, 1 it failed, 2 it was called wrongly.
#pragma once

#include "broker/base/result.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::cli {

// What stands behind the command's name, taken apart.
class Arguments {
 public:
  // `flags` take a value, `switches` none; anything else that starts with "--" is refused by name.
  static Result<Arguments> parse(const std::vector<std::string>& words, const std::set<std::string>& flags,
                                 const std::set<std::string>& switches);

  const std::vector<std::string>& positional() const { return positional_; }
  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name, std::string fallback = {}) const;
  Result<double> number(const std::string& name, double fallback, double min, double max) const;
  Result<std::int64_t> integer(const std::string& name, std::int64_t fallback, std::int64_t min,
                               std::int64_t max) const;

 private:
  std::vector<std::string> positional_;
  std::map<std::string, std::string> values_;
};

struct Command {
  std::string_view name;
  std::string_view summary;  // one line
  std::string_view usage;    // all there is to know; begins with the arguments
  std::set<std::string> flags, switches;
  std::size_t positional_min = 0, positional_max = 0;
  Result<void> (*run)(const Arguments& arguments);
};

// One declaration a command; each lives in a file of its name.
Command replay_command();
Command access_log_command();
Command plans_command();
Command shards_command();
Command warm_command();
Command inspect_command();
Command archive_command();

// Set by SIGINT and SIGTERM: whoever follows something looks at it at least once a second.
bool interrupted();

}  // namespace forelog::cli
