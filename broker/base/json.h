// json.h: structs ⇄ JSON by their field lists: znodes, HTTP answers, files of the command line.
//
// Reading takes any order of members and any whitespace; a missing member keeps its default, an unknown one is ignored,
// a value of another type is Malformed with its path ("partitions.0[1]: not a number"). Depth and size are bounded.
// Writing is compact, members in the order of the list; an optional without value is left out, or written as null where
// the list says `JsonNull{}`. Numbers that others want in quotes say `JsonQuoted{}`; reading takes both forms anyway.
//
// Members may be bool, integers, double, std::string, strong types of those, TopicId, enums with `enum_names`,
// std::optional, std::vector, std::map (keys are strings, integers or strong types of those), and described structs.
#pragma once

#include "broker/base/fields.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/strong_type.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace boost::json {
class value;
}  // namespace boost::json

namespace forelog {

inline constexpr std::size_t kJsonTextMax = 4 << 20;
inline constexpr std::size_t kJsonDepthMax = 32;

struct JsonQuoted {};  // extra: a number written as a string
struct JsonNull {};    // extra: an optional without value is written as null

// `value` as compact JSON. Any type a member may have.
template <class T>
std::string to_json(const T& value);

// Malformed when the text is not JSON, too long, too deep, or of other types than T.
template <class T>
Result<T> from_json(std::string_view text);

// --- how it works ----------------------------------------------------------------------------------------------------

namespace detail {

void append_json_string(std::string& out, std::string_view text);
void append_json_double(std::string& out, double value);

// A parsed document, or one value in it; the view lives as long as the document.
class JsonView {
 public:
  explicit JsonView(const boost::json::value& value) : value_(&value) {}
  bool is_null() const;
  std::optional<bool> boolean() const;
  std::optional<std::int64_t> integer() const;  // also from a string of digits
  std::optional<double> real() const;
  std::optional<std::string_view> string() const;
  bool is_array() const;
  bool is_object() const;
  std::size_t size() const;                                              // of an array or object
  JsonView element(std::size_t index) const;                             // of an array
  std::pair<std::string_view, JsonView> entry(std::size_t index) const;  // of an object
  std::optional<JsonView> member(std::string_view name) const;

 private:
  const boost::json::value* value_;
};
class JsonDocument {
 public:
  static Result<JsonDocument> parse(std::string_view text);
  JsonView root() const { return JsonView(*value_); }

 private:
  std::shared_ptr<const boost::json::value> value_;
};

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_map = false;
template <class K, class V, class C>
inline constexpr bool is_map<std::map<K, V, C>> = true;

// How a key of an object is written and read.
template <class K>
std::string json_key(const K& key) {
  if constexpr (is_strong_type<K>)
    return json_key(key.value());
  else if constexpr (std::is_integral_v<K>)
    return std::to_string(key);
  else
    return std::string(key);
}
template <class K>
std::optional<K> json_key_from(std::string_view text) {
  if constexpr (is_strong_type<K>) {
    auto value = json_key_from<typename K::rep>(text);
    return value ? std::optional<K>(K(*value)) : std::nullopt;
  } else if constexpr (std::is_integral_v<K>) {
    K value{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional<K>(value) : std::nullopt;
  } else {
    return K(text);
  }
}

template <class T>
void write_json(std::string& out, const T& value, bool quoted = false) {
  if constexpr (is_strong_type<T>) {
    write_json(out, value.value(), quoted);
  } else if constexpr (std::is_same_v<T, bool>) {
    out += value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    if (quoted) out += '"';
    out += std::to_string(value);
    if (quoted) out += '"';
  } else if constexpr (std::is_same_v<T, double>) {
    append_json_double(out, value);
  } else if constexpr (std::is_same_v<T, TopicId>) {
    append_json_string(out, value.text());
  } else if constexpr (std::is_enum_v<T>) {
    append_json_string(out, enum_names(value)[static_cast<std::size_t>(value)]);
  } else if constexpr (is_optional<T>) {
    if (value)
      write_json(out, *value, quoted);
    else
      out += "null";
  } else if constexpr (is_vector<T>) {
    out += '[';
    for (bool first = true; const auto& element : value) {
      if (!std::exchange(first, false)) out += ',';
      write_json(out, element, quoted);
    }
    out += ']';
  } else if constexpr (is_map<T>) {
    out += '{';
    for (bool first = true; const auto& [key, element] : value) {
      if (!std::exchange(first, false)) out += ',';
      append_json_string(out, json_key(key));
      out += ':';
      write_json(out, element, quoted);
    }
    out += '}';
  } else if constexpr (Described<T>) {
    out += '{';
    bool first = true;
    for_each_field(value, [&]<class M>(std::string_view name, const M& member, const auto&... extras) {
      constexpr bool in_quotes = (std::is_same_v<std::remove_cvref_t<decltype(extras)>, JsonQuoted> || ...);
      constexpr bool as_null = (std::is_same_v<std::remove_cvref_t<decltype(extras)>, JsonNull> || ...);
      if constexpr (is_optional<M> && !as_null) {
        if (!member) return;
      }
      if (!std::exchange(first, false)) out += ',';
      append_json_string(out, name);
      out += ':';
      write_json(out, member, in_quotes);
    });
    out += '}';
  } else {
    append_json_string(out, value);
  }
}

// Returns what is wrong, with its path; empty when all is well.
template <class T>
std::string read_json(JsonView from, T& into) {
  if constexpr (is_strong_type<T>) {
    typename T::rep value{};
    if (auto wrong = read_json(from, value); !wrong.empty()) return wrong;
    into = T(std::move(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    auto value = from.boolean();
    if (!value) return ": not true or false";
    into = *value;
  } else if constexpr (std::is_integral_v<T>) {
    auto value = from.integer();
    if (!value) return ": not a whole number";
    if (!std::in_range<T>(*value)) return ": out of range";
    into = static_cast<T>(*value);
  } else if constexpr (std::is_same_v<T, double>) {
    auto value = from.real();
    if (!value) return ": not a number";
    into = *value;
  } else if constexpr (std::is_same_v<T, TopicId>) {
    auto text = from.string();
    auto id = text ? TopicId::parse(*text) : std::nullopt;
    if (!id) return ": not a topic id";
    into = *id;
  } else if constexpr (std::is_enum_v<T>) {
    auto text = from.string();
    auto names = enum_names(T{});
    for (std::size_t i = 0; text && i < names.size(); ++i) {
      if (names[i] == *text) return into = static_cast<T>(i), std::string();
    }
    return ": not one of the names allowed";
  } else if constexpr (is_optional<T>) {
    if (from.is_null()) return into.reset(), std::string();
    return read_json(from, into.emplace());
  } else if constexpr (is_vector<T>) {
    if (!from.is_array()) return ": not a list";
    into.clear();
    into.resize(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      auto wrong = read_json(from.element(i), into[i]);
      if (!wrong.empty()) return "[" + std::to_string(i) + "]" + wrong;
    }
  } else if constexpr (is_map<T>) {
    if (!from.is_object()) return ": not an object";
    into.clear();
    for (std::size_t i = 0; i < from.size(); ++i) {
      auto [name, value] = from.entry(i);
      auto key = json_key_from<typename T::key_type>(name);
      if (!key) return "." + std::string(name) + ": not a key allowed here";
      auto wrong = read_json(value, into[*key]);
      if (!wrong.empty()) return "." + std::string(name) + wrong;
    }
  } else if constexpr (Described<T>) {
    if (!from.is_object()) return ": not an object";
    std::string wrong;
    for_each_field(into, [&]<class M>(std::string_view name, M& member, const auto&...) {
      auto value = from.member(name);
      if (!wrong.empty() || !value) return;
      // Kafka writes null where it has nothing; a member that cannot be null keeps its default then.
      if (value->is_null() && !is_optional<M>) return;
      wrong = read_json(*value, member);
      if (!wrong.empty()) wrong = "." + std::string(name) + wrong;
    });
    return wrong;
  } else {
    auto text = from.string();
    if (!text) return ": not a string";
    into = T(*text);
  }
  return {};
}

}  // namespace detail

template <class T>
std::string to_json(const T& value) {
  std::string out;
  detail::write_json(out, value);
  return out;
}

template <class T>
Result<T> from_json(std::string_view text) {
  auto document = TRY(detail::JsonDocument::parse(text));
  T value{};
  auto wrong = detail::read_json(document.root(), value);
  if (!wrong.empty()) return fail(ErrorCode::kMalformed, wrong.starts_with('.') ? wrong.substr(1) : wrong);
  return value;
}

}  // namespace forelog
