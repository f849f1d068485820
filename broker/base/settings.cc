#include "broker/base/settings.h"

#include "broker/base/check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <variant>

#include <fmt/format.h>

namespace forelog {
namespace {

// "for ever", in any unit: what Kafka's Long.MAX_VALUE means.
constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();

std::int64_t nanoseconds_per_unit(std::string_view key) {
  if (key.ends_with(".ms")) return 1'000'000;
  if (key.ends_with(".seconds")) return 1'000'000'000;
  if (key.ends_with(".minutes")) return 60'000'000'000;
  CHECK(key.ends_with(".hours"));  // the name of every duration ends with its unit
  return 3'600'000'000'000;
}

// Negative durations are Kafka's signs for "no limit" and "as another setting", whatever the unit.
std::int64_t to_nanoseconds(std::int64_t count, std::int64_t unit) {
  if (count < 0) return std::max<std::int64_t>(count, -1'000'000) * 1'000'000;
  return count > kForEver / unit ? kForEver : count * unit;
}
std::string duration_text(std::int64_t nanoseconds, std::int64_t unit) {
  if (nanoseconds == kForEver) return std::to_string(kForEver);
  return std::to_string(nanoseconds < 0 ? nanoseconds / 1'000'000 : nanoseconds / unit);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

std::optional<std::int64_t> parse_integer(std::string_view text, bool takes_size) {
  std::int64_t unit = 1;
  constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"KiB", 1_KiB}, {"MiB", 1_MiB}, {"GiB", 1_GiB}, {"TiB", 1_TiB}};
  for (auto [suffix, size] : kUnits) {
    if (takes_size && text.ends_with(suffix)) {
      text = trimmed(text.substr(0, text.size() - suffix.size()));
      unit = size;
      break;
    }
  }
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (__builtin_mul_overflow(value, unit, &value)) return std::nullopt;
  return value;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> out;
  while (!trimmed(text).empty()) {
    auto comma = std::min(text.find(','), text.size());
    out.emplace_back(trimmed(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

Result<Value> parse(const SettingRow& row, std::string_view key, std::string_view text) {
  auto refuse = [&](std::string_view why) {
    auto range = row.range_text();
    auto shown = row.sensitive ? std::string("(hidden)") : std::string(text.substr(0, 200));
    return fail(ErrorCode::kInvalidSetting,
                fmt::format("{}={}: {}{}{}", key, shown, why, range.empty() ? "" : "; allowed: ", range));
  };
  auto one_of_names = [&row](std::string_view name) {
    return row.names.empty() || std::ranges::find(row.names, name) != row.names.end();
  };
  text = trimmed(text);
  switch (row.kind) {
    case SettingRow::Kind::boolean: {
      std::string lower;
      for (char c : text) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      if (lower != "true" && lower != "false") return refuse("neither true nor false");
      return Value(lower == "true");
    }
    case SettingRow::Kind::integer:
    case SettingRow::Kind::duration: {
      bool duration = row.kind == SettingRow::Kind::duration;
      auto value = parse_integer(text, !duration && row.width == 8);
      if (!value) return refuse("not a whole number");
      if (duration) value = to_nanoseconds(*value, nanoseconds_per_unit(key));
      if (*value < row.min || *value > row.max) return refuse("out of range");
      return Value(*value);
    }
    case SettingRow::Kind::real: {
      double value = 0;
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
        return refuse("not a number");
      if (value < row.real_min || value > row.real_max) return refuse("out of range");
      return Value(value);
    }
    case SettingRow::Kind::string:
      if (!one_of_names(text)) return refuse("not a value allowed here");
      return Value(std::string(text));
    case SettingRow::Kind::list: {
      auto list = split_list(text);
      for (const auto& entry : list) {
        if (!one_of_names(entry)) return refuse("'" + entry + "' is not allowed here");
      }
      return Value(std::move(list));
    }
    case SettingRow::Kind::enumeration: {
      auto at = std::ranges::find(row.names, text);
      if (at == row.names.end()) return refuse("not a value allowed here");
      return Value(static_cast<std::int64_t>(at - row.names.begin()));
    }
  }
  return refuse("of an unknown kind");
}

// Members are read and written at the place and with the width that the row was made with.
template <class T>
T& at(void* instance, std::size_t offset) {
  return *reinterpret_cast<T*>(static_cast<char*>(instance) + offset);  // NOLINT: see above
}
template <class T>
const T& at(const void* instance, std::size_t offset) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(instance) + offset);  // NOLINT: see above
}
void store_integer(void* place, std::uint8_t width, std::int64_t value) {
  std::memcpy(place, &value, width);  // little-endian machines only, as everything here
}
std::int64_t load_integer(const void* place, std::uint8_t width, bool with_sign) {
  std::int64_t value = 0;
  std::memcpy(&value, place, width);
  int unused_bits = 64 - 8 * width;
  return with_sign ? static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << unused_bits) >> unused_bits : value;
}

}  // namespace

SettingType SettingRow::type() const {
  if (sensitive) return SettingType::password;
  switch (kind) {
    case Kind::boolean:
      return SettingType::boolean;
    case Kind::integer:
      return width == 8 ? SettingType::int64 : width == 4 ? SettingType::int32 : SettingType::int16;
    case Kind::duration:
      return SettingType::int64;
    case Kind::real:
      return SettingType::real;
    case Kind::list:
      return SettingType::list;
    case Kind::string:
    case Kind::enumeration:
      break;
  }
  return SettingType::string;
}

std::string SettingRow::range_text() const {
  auto between = [](bool has_min, const std::string& low, bool has_max, const std::string& high) -> std::string {
    if (has_min && has_max) return low + " to " + high;
    if (has_min) return "at least " + low;
    return has_max ? "at most " + high : "";
  };
  constexpr auto kLowest = std::numeric_limits<std::int64_t>::min();
  switch (kind) {
    case Kind::boolean:
      return "true, false";
    case Kind::integer:
      return between(min != kLowest, std::to_string(min), max != kForEver, std::to_string(max));
    case Kind::duration: {
      auto unit = nanoseconds_per_unit(name);
      return between(min != kLowest, duration_text(min, unit), max != kForEver, duration_text(max, unit));
    }
    case Kind::real:
      return between(real_min != std::numeric_limits<double>::lowest(), fmt::format("{}", real_min),
                     real_max != std::numeric_limits<double>::max(), fmt::format("{}", real_max));
    case Kind::string:
    case Kind::list:
    case Kind::enumeration:
      break;
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<void> SettingRow::check(std::string_view key, std::string_view value) const {
  TRY(parse(*this, key, value));
  return {};
}

Result<void> SettingRow::set(void* instance, std::string_view key, std::string_view value) const {
  auto parsed = TRY(parse(*this, key, value));
  auto* place = static_cast<char*>(instance) + offset;
  switch (kind) {
    case Kind::boolean:
      at<bool>(instance, offset) = std::get<bool>(parsed);
      break;
    case Kind::integer:
    case Kind::enumeration:
      store_integer(place, width, std::get<std::int64_t>(parsed));
      break;
    case Kind::duration:
      at<Duration>(instance, offset) = Duration(std::get<std::int64_t>(parsed));
      break;
    case Kind::real:
      at<double>(instance, offset) = std::get<double>(parsed);
      break;
    case Kind::string:
      at<std::string>(instance, offset) = std::get<std::string>(std::move(parsed));
      break;
    case Kind::list:
      at<std::vector<std::string>>(instance, offset) = std::get<std::vector<std::string>>(std::move(parsed));
      break;
  }
  return {};
}

std::string SettingRow::get(const void* instance) const {
  const auto* place = static_cast<const char*>(instance) + offset;
  switch (kind) {
    case Kind::boolean:
      return at<bool>(instance, offset) ? "true" : "false";
    case Kind::integer:
      return std::to_string(load_integer(place, width, true));
    case Kind::duration:
      return duration_text(at<Duration>(instance, offset).count(), nanoseconds_per_unit(name));
    case Kind::real:
      return fmt::format("{}", at<double>(instance, offset));
    case Kind::string:
      return at<std::string>(instance, offset);
    case Kind::list:
      return fmt::format("{}", fmt::join(at<std::vector<std::string>>(instance, offset), ","));
    case Kind::enumeration:
      break;
  }
  auto index = static_cast<std::size_t>(load_integer(place, width, false));
  CHECK(index < names.size());
  return std::string(names[index]);
}

std::string SettingRow::random(const std::function<std::uint64_t()>& next) const {
  switch (kind) {
    case Kind::boolean:
      return next() % 2 == 0 ? "true" : "false";
    case Kind::string:
    case Kind::enumeration:
      return names.empty() ? default_value : std::string(names[next() % names.size()]);
    case Kind::list:
      return names.empty() ? default_value : std::string(names[next() % names.size()]);
    case Kind::real: {
      if (next() % 2 == 0 || !std::isfinite(real_max - real_min)) return default_value;
      auto part = static_cast<double>(next() >> 11) / 9007199254740992.0;  // in [0, 1)
      return fmt::format("{}", real_min + part * (real_max - real_min));
    }
    case Kind::integer:
    case Kind::duration:
      break;
  }
  auto unit = kind == Kind::duration ? nanoseconds_per_unit(name) : 1;
  auto text_of = [&](std::int64_t value) {
    return kind == Kind::duration ? duration_text(value, unit) : std::to_string(value);
  };
  // The ends as the unit of the name can say them; each order of magnitude between is as likely as the next.
  auto low = kind == Kind::duration && min > 0 ? (min + unit - 1) / unit * unit : min;
  switch (next() % 8) {
    case 0:
      return text_of(low);
    case 1:
      return text_of(max);
    case 2:
    case 3:
      return default_value;
    default:
      break;
  }
  auto span = static_cast<std::uint64_t>(max) - static_cast<std::uint64_t>(low);
  auto above = next() >> (next() % 64);
  if (span != std::numeric_limits<std::uint64_t>::max()) above %= span + 1;
  return text_of(static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + above));
}

}  // namespace forelog
