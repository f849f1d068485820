// printer.h: message → one line of text, for dumps and test failures. Shows the fields that `version` has.
//
//   {max_wait_ms=500, topics=[{topic=orders, partitions=[{partition=0, fetch_offset=42, …}]}]}
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/field_notes.h"
#include "broker/wire/types.h"

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace forelog::wire {

// Text comes from anybody: what is not printable must not reach a terminal or a log.
std::string printable(std::string_view text);

class Printer {
 public:
  explicit Printer(Version version) : version_(version) {}

  template <Described T>
  std::string message(const T& message) && {
    value(message);
    return std::move(out_);
  }

 private:
  template <class T>
  void value(const T& in) {
    if constexpr (is_strong_type<T>) {
      value(in.value());
    } else if constexpr (std::is_same_v<T, bool>) {
      text(in ? "true" : "false");
    } else if constexpr (std::is_arithmetic_v<T>) {
      if constexpr (std::is_integral_v<T>) {
        number(std::int64_t{in});
      } else {
        number(in);
      }
    } else if constexpr (std::is_enum_v<T>) {
      value(static_cast<std::underlying_type_t<T>>(in));
    } else {
      composite(in);
    }
  }
  void composite(const WireError& in) { number(std::int64_t{in.code}); }
  void composite(const TopicId& in);
  void composite(const std::string& in);
  void composite(const Buffer& in);
  void composite(const Records& in);
  template <class T>
  void composite(const std::vector<T>& in) {
    text("[");
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (i > 0) text(", ");
      value(in[i]);
    }
    text("]");
  }
  template <class T>
  void composite(const std::optional<T>& in) {
    if (in) {
      value(*in);
    } else {
      text("null");
    }
  }
  template <Described T>
  void composite(const T& in) {
    text("{");
    bool first = true;
    for_each_field(in, [&](const char* name, const auto& member, const auto&... extras) {
      if (!notes_of(extras...).in(version_)) return;
      begin_field(name, first);
      value(member);
    });
    text("}");
  }

  // Out of line: a field list would be inlined into as many copies of them as it has fields.
  void text(std::string_view text);
  void number(std::int64_t value);
  void number(double value);
  void begin_field(const char* name, bool& first);

  Version version_;
  std::string out_;
};

}  // namespace forelog::wire
