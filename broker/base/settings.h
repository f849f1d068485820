// settings.h: structs of settings ⇄ `key=value` text, as in Kafka's server.properties, by their field lists.
//
//   enum class Durability : std::uint8_t { wal, page_cache };
//   constexpr std::array<std::string_view, 2> enum_names(Durability) { return {"wal", "page-cache"}; }
//
//   struct CacheSettings {
//     Bytes memory = 512_MiB;
//     Duration load_timeout = 2s;
//     static constexpr auto fields = [](auto& s, auto&& field) {
//       field("cache.memory", s.memory, Range<Bytes>{1_MiB, 1_TiB}, "Memory for cached blocks.");
//       field("cache.load.timeout.ms", s.load_timeout, Range<Duration>{1ms, 60s}, "Longest wait for one archive
//       read.");
//     };
//   };
//
// Extras, in any order: Range<T> (of the member's type), the text of the page (const char*), a Scope (broker when none
// is given), Synonyms (the first that is present wins), OneOf, Sensitive. Members may be bool, integers, Duration (in
// the unit that the key ends with: .ms, .seconds, .minutes, .hours), double, std::string, std::vector<std::string>
// (comma separated), enums with `enum_names` (names in the order of the values, from 0), and strong types of those.
// 64-bit integers also take KiB, MiB, GiB and TiB behind the number. A Duration too long to count in nanoseconds is
// Duration::max(), written as Kafka writes "for ever": 9223372036854775807.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/fields.h"
#include "broker/base/result.h"
#include "broker/base/strong_type.h"
#include "broker/base/time.h"

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace forelog {

// Settings as text, by name.
using SettingMap = std::map<std::string, std::string, std::less<>>;

// Java's .properties syntax: comments with # or !, continuation lines, escapes, `=`, `:` or blank between. The last of
// two equal keys wins, as in Java. Malformed: an unfinished \u escape, more than `kSettingsTextMax` bytes.
inline constexpr std::size_t kSettingsTextMax = 1 << 20;
Result<SettingMap> parse_properties(std::string_view text);
std::string properties_text(const SettingMap& settings);

// Where a setting may be given, and whether it may change while the broker runs.
enum class Scope : std::uint8_t {
  broker,   // in the file; read at start
  dynamic,  // in the file; also changed while running (AlterConfigs on the broker)
  topic,    // per topic; its synonyms are the broker-wide default
};
template <class T>
struct Range {
  T min;
  T max;
};
struct Synonym {
  std::string_view key;
};
struct Sensitive {};
// The values that a string, or each entry of a list, may have.
struct OneOf {
  std::array<std::string_view, 8> names;
};

// Kafka's ConfigType, as DescribeConfigs sends it.
enum class SettingType : std::int8_t {
  boolean = 1,
  string = 2,
  int32 = 3,
  int16 = 4,
  int64 = 5,
  real = 6,
  list = 7,
  type_class = 8,
  password = 9
};

// One member of a settings struct, described at run time.
struct SettingRow {
  enum class Kind : std::uint8_t { boolean, integer, duration, real, string, list, enumeration };
  std::string_view name;
  Kind kind = Kind::string;
  std::uint8_t width = 0;  // of an integer or an enum, in bytes
  Scope scope = Scope::broker;
  bool sensitive = false;
  std::size_t offset = 0;                                       // of the member in its struct
  std::int64_t min = std::numeric_limits<std::int64_t>::min();  // of integers; of durations in nanoseconds
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
  double real_min = std::numeric_limits<double>::lowest();
  double real_max = std::numeric_limits<double>::max();
  std::vector<std::string_view> names;  // of an enum's values; what a string or list may hold
  std::vector<std::string_view> synonyms;
  std::string_view text;
  std::string default_value;

  SettingType type() const;
  std::string range_text() const;  // "1 to 60000", "off, read-ahead, predict", or empty
  // Whether `value` is legal under this name, or under a synonym in the unit of the synonym's name; InvalidSetting
  // names key, value and what is allowed. `set` also stores it in `instance`.
  Result<void> check(std::string_view key, std::string_view value) const;
  Result<void> set(void* instance, std::string_view key, std::string_view value) const;
  std::string get(const void* instance) const;
  // A random legal value, small ones and the ends of the range more often than others.
  std::string random(const std::function<std::uint64_t()>& next) const;
};

// The rows of T, in the order of its list.
template <Described T>
const std::vector<SettingRow>& setting_rows();

// Reads what `settings` says of T: the key itself, else its first synonym present, else the default (or what `start`
// has). Keys that T does not have are left to others.
template <Described T>
Result<T> read_settings(const SettingMap& settings, T start = {}) {
  for (const auto& row : setting_rows<T>()) {
    auto apply = [&](std::string_view key) -> Result<bool> {
      auto at = settings.find(key);
      if (at == settings.end()) return false;
      TRY(row.set(&start, key, at->second));
      return true;
    };
    bool found = TRY(apply(row.name));
    for (auto synonym : row.synonyms) {
      if (found) break;
      found = TRY(apply(synonym));
    }
  }
  return start;
}

// Every setting of `instance` as text.
template <Described T>
SettingMap write_settings(const T& instance) {
  SettingMap out;
  for (const auto& row : setting_rows<T>()) out.emplace(row.name, row.get(&instance));
  return out;
}

// Random legal values for the simulator; `next` yields uniform 64-bit numbers.
template <Described T>
T random_settings(const std::function<std::uint64_t()>& next) {
  T out;
  for (const auto& row : setting_rows<T>()) {
    auto set = row.set(&out, row.name, row.random(next));
    CHECK(set.has_value());
  }
  return out;
}

// `key=value` of a --set flag, laid over `settings`.
Result<void> apply_override(SettingMap& settings, std::string_view assignment);

// --- how rows are made -----------------------------------------------------------------------------------------------

namespace detail {

template <class M>
struct SettingMember {
  using type = M;
};
template <class Tag, class Rep>
struct SettingMember<StrongType<Tag, Rep>> {
  using type = Rep;  // the only member of a strong type, at its address
};

template <class M>
void describe_member(SettingRow& row) {
  if constexpr (std::is_same_v<M, bool>) {
    row.kind = SettingRow::Kind::boolean;
  } else if constexpr (std::is_same_v<M, Duration>) {
    row.kind = SettingRow::Kind::duration;
  } else if constexpr (std::is_same_v<M, double>) {
    row.kind = SettingRow::Kind::real;
  } else if constexpr (std::is_same_v<M, std::string>) {
    row.kind = SettingRow::Kind::string;
  } else if constexpr (std::is_same_v<M, std::vector<std::string>>) {
    row.kind = SettingRow::Kind::list;
  } else if constexpr (std::is_enum_v<M>) {
    row.kind = SettingRow::Kind::enumeration;
    row.width = sizeof(M);
    for (auto name : enum_names(M{})) row.names.push_back(name);
  } else {
    static_assert(std::is_integral_v<M> && std::is_signed_v<M>, "a setting of this type is not supported");
    row.kind = SettingRow::Kind::integer;
    row.width = sizeof(M);
    row.min = std::numeric_limits<M>::min();
    row.max = std::numeric_limits<M>::max();
  }
}

template <class Extra>
void apply_extra(SettingRow& row, const Extra& extra) {
  if constexpr (std::is_same_v<Extra, Scope>) row.scope = extra;
  if constexpr (std::is_same_v<Extra, Synonym>) row.synonyms.push_back(extra.key);
  if constexpr (std::is_same_v<Extra, Sensitive>) row.sensitive = true;
  if constexpr (std::is_same_v<Extra, OneOf>) {
    for (auto name : extra.names) {
      if (!name.empty()) row.names.push_back(name);
    }
  }
  if constexpr (std::is_convertible_v<Extra, std::string_view>) row.text = extra;
  if constexpr (std::is_same_v<Extra, Range<Duration>>) {
    row.min = extra.min.count(), row.max = extra.max.count();
  } else if constexpr (std::is_same_v<Extra, Range<double>>) {
    row.real_min = extra.min, row.real_max = extra.max;
  } else if constexpr (requires {
                         { extra.min } -> std::convertible_to<std::int64_t>;
                         extra.max;
                       }) {
    row.min = extra.min, row.max = extra.max;
  }
}

}  // namespace detail

template <Described T>
const std::vector<SettingRow>& setting_rows() {
  static const std::vector<SettingRow> rows = [] {
    std::vector<SettingRow> out;
    const T defaults{};
    for_each_field(defaults, [&]<class M>(std::string_view name, const M& member, const auto&... extras) {
      SettingRow row;
      row.name = name;
      row.offset = static_cast<std::size_t>(reinterpret_cast<const char*>(&member) -    // NOLINT: the member's place
                                            reinterpret_cast<const char*>(&defaults));  // NOLINT: in its struct
      detail::describe_member<typename detail::SettingMember<M>::type>(row);
      (detail::apply_extra(row, extras), ...);
      row.default_value = row.get(&defaults);
      out.push_back(std::move(row));
    });
    return out;
  }();
  return rows;
}

}  // namespace forelog
