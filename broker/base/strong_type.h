// strong_type.h: distinct types for values that share a representation, so that an offset is never passed as an epoch.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace forelog {

// A value of `Rep` that only mixes with values of the same `Tag`. Integers also count up and measure distance.
template <class Tag, class Rep>
class StrongType {
 public:
  using rep = Rep;

  constexpr StrongType() = default;
  constexpr explicit StrongType(Rep value) : value_(std::move(value)) {}

  constexpr const Rep& value() const { return value_; }

  friend constexpr auto operator<=>(const StrongType&, const StrongType&) = default;
  friend constexpr bool operator==(const StrongType&, const StrongType&) = default;

  // `value + n` moves along; `a - b` is a distance, not a value.
  friend constexpr StrongType operator+(const StrongType& a, Rep n)
    requires std::is_integral_v<Rep>
  {
    return StrongType(static_cast<Rep>(a.value_ + n));
  }
  friend constexpr StrongType operator-(const StrongType& a, Rep n)
    requires std::is_integral_v<Rep>
  {
    return StrongType(static_cast<Rep>(a.value_ - n));
  }
  friend constexpr Rep operator-(const StrongType& a, const StrongType& b)
    requires std::is_integral_v<Rep>
  {
    return static_cast<Rep>(a.value_ - b.value_);
  }
  constexpr StrongType& operator++()
    requires std::is_integral_v<Rep>
  {
    ++value_;
    return *this;
  }

 private:
  Rep value_{};
};

template <class T>
inline constexpr bool is_strong_type = false;
template <class Tag, class Rep>
inline constexpr bool is_strong_type<StrongType<Tag, Rep>> = true;

}  // namespace forelog

template <class Tag, class Rep>
struct std::hash<forelog::StrongType<Tag, Rep>> {
  std::size_t operator()(const forelog::StrongType<Tag, Rep>& v) const { return std::hash<Rep>{}(v.value()); }
};
