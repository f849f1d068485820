#include "broker/cli/command.h"

#include <charconv>
#include <cmath>

namespace forelog::cli {

Result<Arguments> Arguments::parse(const std::vector<std::string>& words, const std::set<std::string>& flags,
                                   const std::set<std::string>& switches) {
  Arguments out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    auto word = words[i];
    if (!word.starts_with("--") || word == "--") {
      if (word != "--") out.positional_.push_back(word);
      continue;
    }
    auto name = word.substr(2);
    std::optional<std::string> value;
    if (auto equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    if (switches.contains(name)) {
      if (value) return fail(ErrorCode::kInvalidSetting, "--" + name + " takes no value");
      out.values_[name] = "yes";
      continue;
    }
    if (!flags.contains(name)) return fail(ErrorCode::kInvalidSetting, "--" + name + " is unknown");
    if (!value && i + 1 >= words.size())
      return fail(ErrorCode::kInvalidSetting, "--" + name + ": its value is missing");
    out.values_[name] = value ? *value : words[++i];
  }
  return out;
}

std::string Arguments::text(const std::string& name, std::string fallback) const {
  auto at = values_.find(name);
  return at == values_.end() ? std::move(fallback) : at->second;
}

Result<double> Arguments::number(const std::string& name, double fallback, double min, double max) const {
  auto at = values_.find(name);
  if (at == values_.end()) return fallback;
  std::string_view text = at->second;
  double scale = 1;
  if (text.ends_with('%')) text.remove_suffix(1), scale = 0.01;
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  value *= scale;
  bool ok =
      error == std::errc{} && end == text.data() + text.size() && std::isfinite(value) && value >= min && value <= max;
  if (!ok) return fail(ErrorCode::kInvalidSetting, "--" + name + " " + at->second + ": not a number in its range");
  return value;
}

Result<std::int64_t> Arguments::integer(const std::string& name, std::int64_t fallback, std::int64_t min,
                                        std::int64_t max) const {
  auto at = values_.find(name);
  if (at == values_.end()) return fallback;
  const auto& text = at->second;
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool ok = error == std::errc{} && end == text.data() + text.size() && value >= min && value <= max;
  if (!ok) return fail(ErrorCode::kInvalidSetting, "--" + name + " " + text + ": not an integer in its range");
  return value;
}

}  // namespace forelog::cli
