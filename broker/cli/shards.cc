// shards: the chain of a topic's partitions.

#include "broker/cli/command.h"
#include "broker/cli/http_client.h"
#include "broker/cli/json_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace forelog::cli {
namespace {

// Names and values of an object, in its order.
std::vector<std::string> names_of(std::string_view object) {
  std::vector<std::string> out;
  for (auto part : elements("[" + std::string(object.substr(1, object.size() - 2)) + "]")) {
    auto end = part.size() > 1 ? part.find('"', 1) : std::string_view::npos;
    if (end != std::string_view::npos) out.emplace_back(part.substr(1, end - 1));
  }
  return out;
}

// A table as wide as its values.
void print_table(const std::vector<std::string>& names, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto width = names[i].size();
    for (const auto& row : rows) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  auto line = [&](const std::vector<std::string>& cells) {
    std::string out;
    for (std::size_t i = 0; i < cells.size(); ++i) out += fmt::format("{:<{}}  ", cells[i], widths[i]);
    out.erase(out.find_last_not_of(' ') + 1);
    fmt::print("{}\n", out);
  };
  line(names);
  for (const auto& row : rows) line(row);
}

Result<void> run(const Arguments& arguments) {
  auto topic = arguments.positional()[0];
  auto body = TRY(http_get(arguments.text("admin", kDefaultAdmin), "/api/shards", {{"topic", topic}}));
  auto shards = elements(body);
  if (arguments.has("json") || shards.empty() || shards[0].front() != '{') {
    for (auto shard : shards) fmt::print("{}\n", shard);
    return {};
  }
  auto names = names_of(shards[0]);
  std::vector<std::vector<std::string>> rows;
  for (auto shard : shards) {
    auto& row = rows.emplace_back();
    for (const auto& name : names) row.push_back(member(shard, name));
  }
  print_table(names, rows);
  return {};
}

}  // namespace

Command shards_command() {
  return {.name = "shards",
          .summary = "the chain of a topic's partitions: state, place, size, age, use",
          .usage =
              "TOPIC [--json] [--admin HOST:PORT]\n\n"
              "Prints a line for each shard of each partition, oldest first.\n"
              "  --json             one JSON object a line instead of a table\n"
              "  --admin HOST:PORT  the broker's admin listener (127.0.0.1:9600)",
          .flags = {"admin"},
          .switches = {"json"},
          .positional_min = 1,
          .positional_max = 1,
          .run = &run};
}

}  // namespace forelog::cli
