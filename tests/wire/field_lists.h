// field_lists.h: our field lists as text, one line a field, in Kafka's words for types.
//
//   FetchRequest 4-17 flexible 12
//     topics []struct 4-17
//       topic_id uuid 13-17
//
// Ranges are effective ones: inside what is served and inside the parent's. `null`, `tag` and `default` follow where
// they apply. tests/wire/check_schemas.py reads this.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/api_table.h"
#include "broker/wire/equal.h"
#include "broker/wire/field_notes.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

class FieldLister {
 public:
  template <Described T>
  std::string list(const std::string& name, VersionRange versions, Version flexible_since) && {
    out_ = name + " " + range(versions) + " flexible " + (flexible_since == kNever ? "none" : number(flexible_since));
    out_ += '\n';
    fields<T>(versions, 1);
    return std::move(out_);
  }

 private:
  static std::string number(std::int64_t value) { return std::to_string(value); }
  static std::string range(VersionRange versions) { return number(versions.min) + "-" + number(versions.max); }

  template <Described T>
  void fields(VersionRange versions, std::size_t depth) {
    for_each_field(default_of<T>, [&]<class Member>(const char* name, const Member& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      const VersionRange effective{std::max(notes.since, versions.min), std::min(notes.until, versions.max)};
      if (effective.empty()) return;
      add_line(depth, name, type<Member>(), effective, is_nullable<Member>, notes, default_of_number(member));
      nested<Member>(effective, depth + 1);
    });
  }

  template <class T>
  struct Unwrap {
    using type = T;
    static constexpr bool is_vector = false;
    static constexpr bool is_optional = false;
  };
  template <class T>
  struct Unwrap<std::vector<T>> {
    using type = T;
    static constexpr bool is_vector = true;
    static constexpr bool is_optional = false;
  };
  template <class T>
  struct Unwrap<std::optional<T>> {
    using type = T;
    static constexpr bool is_vector = false;
    static constexpr bool is_optional = true;
  };
  template <class T>
  static constexpr bool is_nullable = Unwrap<T>::is_optional || std::is_same_v<T, Records>;

  template <class T>
  static std::string type() {
    if constexpr (Unwrap<T>::is_optional)
      return type<typename Unwrap<T>::type>();
    else if constexpr (Unwrap<T>::is_vector)
      return "[]" + type<typename Unwrap<T>::type>();
    else if constexpr (is_strong_type<T>)
      return type<typename T::rep>();
    else if constexpr (Described<T>)
      return "struct";
    else if constexpr (std::is_same_v<T, bool>)
      return "bool";
    else if constexpr (std::is_same_v<T, double>)
      return "float64";
    else if constexpr (std::is_integral_v<T>)
      return (std::is_signed_v<T> ? "int" : "uint") + number(8 * sizeof(T));
    else if constexpr (std::is_same_v<T, WireError>)
      return "int16";
    else if constexpr (std::is_same_v<T, TopicId>)
      return "uuid";
    else if constexpr (std::is_same_v<T, std::string>)
      return "string";
    else if constexpr (std::is_same_v<T, Buffer>)
      return "bytes";
    else if constexpr (std::is_same_v<T, Records>)
      return "records";
    else
      static_assert(sizeof(T) == 0, "a type that the wire does not have");
  }

  // Of numbers only: texts, arrays and structs are empty, nullable fields null.
  template <class T>
  static std::int64_t default_of_number(const T& value) {
    if constexpr (is_strong_type<T>) {
      return default_of_number(value.value());
    } else if constexpr (std::is_integral_v<T>) {
      return value;
    } else {
      return 0;
    }
  }

  template <class T>
  void nested(VersionRange versions, std::size_t depth) {
    if constexpr (Described<T>) {
      fields<T>(versions, depth);
    } else if constexpr (Unwrap<T>::is_vector || Unwrap<T>::is_optional) {
      nested<typename Unwrap<T>::type>(versions, depth);
    }
  }

  // Not inlined: it would be, once a field.
  [[gnu::noinline]] void add_line(std::size_t depth, const char* name, const std::string& type, VersionRange versions,
                                  bool nullable, const FieldNotes& notes, std::int64_t default_value) {
    out_ += std::string(depth * 2, ' ') + name + " " + type + " " + range(versions);
    if (nullable) out_ += " null " + range({std::max(notes.nullable_from, versions.min), versions.max});
    if (notes.is_tagged()) out_ += " tag " + number(notes.tag);
    if (default_value != 0) out_ += " default " + number(default_value);
    out_ += '\n';
  }

  std::string out_;
};

}  // namespace forelog::wire
