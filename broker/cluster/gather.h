// gather.h: many reads at once, for places where one after another would take a round trip each.
#pragma once

#include "broker/env/task_group.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace forelog::cluster {

inline constexpr std::size_t kGatherWidth = 64;

namespace gathering {

template <class T>
struct Gathering {
  std::function<Task<T>(std::size_t)> make;
  std::vector<std::optional<T>> results;
  std::size_t next = 0;
};

template <class T>
Task<void> gather_some(Gathering<T>& all) {
  while (all.next < all.results.size()) {
    auto index = all.next++;
    auto task = all.make(index);
    all.results[index].emplace(co_await std::move(task));
  }
}

}  // namespace gathering

// The results of `make(0)`, `make(1)`, … `make(count - 1)`, in that order; up to kGatherWidth run at once.
template <class T>
Task<std::vector<T>> gather(env::Cores& cores, std::size_t count, std::function<Task<T>(std::size_t)> make) {
  gathering::Gathering<T> all;
  all.make = std::move(make);
  all.results.resize(count);
  TaskGroup group(cores);
  for (std::size_t i = 0; i < std::min(count, kGatherWidth); ++i) group.spawn(gathering::gather_some(all));
  co_await group.join();
  std::vector<T> out;
  out.reserve(count);
  for (auto& result : all.results) out.push_back(*std::move(result));
  co_return out;
}

}  // namespace forelog::cluster
