// item_count.h: how many elements the arrays of a message hold, those within elements included.
#pragma once

#include "broker/base/fields.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace forelog::api {

template <class T>
std::int64_t item_count(const T&) {
  return 0;
}
template <Described T>
std::int64_t item_count(const T& message);
template <class T>
std::int64_t item_count(const std::optional<T>& value);

template <class T>
std::int64_t item_count(const std::vector<T>& items) {
  auto count = static_cast<std::int64_t>(items.size());
  if constexpr (Described<T>) {
    for (const auto& item : items) count += item_count(item);
  }
  return count;
}
template <class T>
std::int64_t item_count(const std::optional<T>& value) {
  return value ? item_count(*value) : 0;
}
template <Described T>
std::int64_t item_count(const T& message) {
  std::int64_t count = 0;
  for_each_field(message, [&](const char*, const auto& member, const auto&...) { count += item_count(member); });
  return count;
}

}  // namespace forelog::api
