// equal.h: equality of messages, field by field. Used for "is this tagged field at its default?" and by tests.
#pragma once

#include "broker/base/fields.h"
#include "broker/wire/types.h"

#include <memory>
#include <optional>
#include <vector>

namespace forelog::wire {

// The member of `other` that stands where `member` stands in `value`.
template <class T, class Member>
const Member& same_member(const T& value, const Member& member, const T& other) {
  auto distance = reinterpret_cast<const char*>(&member) - reinterpret_cast<const char*>(&value);  // NOLINT
  return *reinterpret_cast<const Member*>(reinterpret_cast<const char*>(&other) + distance);       // NOLINT
}

template <class T>
bool equal(const T& a, const T& b) {
  return a == b;
}
inline bool equal(const Records& a, const Records& b) { return a.is_null == b.is_null && a.flat() == b.flat(); }

template <Described T>
bool equal(const T& a, const T& b);

template <class T>
bool equal(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i])) return false;
  }
  return true;
}

template <class T>
bool equal(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a || equal(*a, *b));
}

template <Described T>
bool equal(const T& a, const T& b) {
  bool same = true;
  for_each_field(a, [&](const char*, const auto& member, const auto&...) {
    same = same && equal(member, same_member(a, member, b));
  });
  return same;
}

// What a field holds when nobody sets it.
template <Described T>
inline const T default_of{};

template <Described T, class Member>
bool is_default(const T& value, const Member& member) {
  return equal(member, same_member(value, member, default_of<T>));
}

}  // namespace forelog::wire
