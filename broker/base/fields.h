// fields.h: describe once. A struct lists its members in one place; codecs, JSON, settings and random instances are
// derived from that list by walkers.
//
//   struct Point {
//     std::int32_t x = 0;
//     std::int32_t y = 0;
//     static constexpr auto fields = [](auto& m, auto&& field) {
//       field("x", m.x);
//       field("y", m.y, extras...);
//     };
//   };
//
// `extras` mean what the walker in question says: version ranges for wire messages, ranges and texts for settings. A
// walker ignores extras that it does not know. A struct whose list leaves a member out (or names one twice) does not
// compile: every walker starts with `check_fields<T>()`.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace forelog {

template <class T>
concept Described = requires { T::fields; };

namespace detail {

// Storage in which no T ever lives: naming the members of one is enough to count them in a constant expression.
template <class T>
union Unread {
  char nothing = 0;
  T value;
  constexpr Unread() {}   // NOLINT: `= default` would be deleted
  constexpr ~Unread() {}  // NOLINT
};
template <class T>
inline constinit Unread<T> unread{};

template <class T>
consteval std::size_t count_listed() {
  std::size_t count = 0;
  T::fields(unread<T>.value, [&count](auto&&...) { ++count; });
  return count;
}
// What `{}` stands for as an initialiser of any member, in a form that a pack can expand to.
#define FORELOG_ROW(n, ...) \
  if constexpr (N == n) return requires { T{__VA_ARGS__}; };
#define FORELOG_4 \
  {}, {}, {}, {}
#define FORELOG_8 FORELOG_4, FORELOG_4
#define FORELOG_16 FORELOG_8, FORELOG_8
#define FORELOG_32 FORELOG_16, FORELOG_16
#define FORELOG_ROWS_OF_4(n, prefix)   \
  FORELOG_ROW(n + 1, prefix{})         \
  FORELOG_ROW(n + 2, prefix{}, {})     \
  FORELOG_ROW(n + 3, prefix{}, {}, {}) \
  FORELOG_ROW(n + 4, prefix{}, {}, {}, {})
#define FORELOG_COMMA ,

// Whether `T` can be written with `N` empty braces: true for every N up to its number of members.
template <class T, std::size_t N>
consteval bool takes_initialisers() {
  if constexpr (N == 0) return true;
  FORELOG_ROWS_OF_4(0, )
  FORELOG_ROWS_OF_4(4, FORELOG_4 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(8, FORELOG_8 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(12, FORELOG_8 FORELOG_COMMA FORELOG_4 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(16, FORELOG_16 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(20, FORELOG_16 FORELOG_COMMA FORELOG_4 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(24, FORELOG_16 FORELOG_COMMA FORELOG_8 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(28, FORELOG_16 FORELOG_COMMA FORELOG_8 FORELOG_COMMA FORELOG_4 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(32, FORELOG_32 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(36, FORELOG_32 FORELOG_COMMA FORELOG_4 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(40, FORELOG_32 FORELOG_COMMA FORELOG_8 FORELOG_COMMA)
  FORELOG_ROWS_OF_4(44, FORELOG_32 FORELOG_COMMA FORELOG_8 FORELOG_COMMA FORELOG_4 FORELOG_COMMA)
  return false;
}
#undef FORELOG_ROW
#undef FORELOG_ROWS_OF_4
#undef FORELOG_COMMA
#undef FORELOG_4
#undef FORELOG_8
#undef FORELOG_16
#undef FORELOG_32

}  // namespace detail

// Whether the list of T names as many members as T has (at most 47).
template <Described T>
consteval bool fields_are_complete() {
  constexpr std::size_t listed = detail::count_listed<T>();
  static_assert(listed < 48, "split the struct: the field list counts up to 47 members");
  return detail::takes_initialisers<T, listed>() && !detail::takes_initialisers<T, listed + 1>();
}

template <Described T>
constexpr void check_fields() {
  static_assert(fields_are_complete<T>(), "a member is missing from the struct's `fields` list, or listed twice");
}

// Calls `visit(name, member, extras...)` for each listed member of `instance`, in order.
template <class T, class Visit>
  requires Described<std::remove_const_t<T>>
constexpr void for_each_field(T& instance, Visit&& visit) {
  check_fields<std::remove_const_t<T>>();
  std::remove_const_t<T>::fields(instance, std::forward<Visit>(visit));
}

// The extra of type `Extra` among `extras`, or `fallback`.
template <class Extra, class... Extras>
constexpr Extra extra_or(Extra fallback, const Extras&... extras) {
  auto pick = [&fallback](const auto& extra) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(extra)>, Extra>) fallback = extra;
  };
  (pick(extras), ...);
  return fallback;
}

}  // namespace forelog
