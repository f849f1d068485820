// run_task.h: runs one task in a simulated world, and yields what it returned.
#pragma once

#include "broker/base/check.h"
#include "broker/env/simulated/simulated_world.h"

#include <memory>
#include <optional>
#include <utility>

namespace forelog::test {

namespace detail {

template <class T>
Task<void> keep_result(std::shared_ptr<std::optional<T>> result, Task<T> task) {
  result->emplace(co_await std::move(task));
}
inline Task<void> keep_result(std::shared_ptr<std::optional<bool>> result, Task<void> task) {
  co_await std::move(task);
  result->emplace(true);
}

}  // namespace detail

// Starts `task` on `core` of `machine` and runs the whole world until it has ended. A task that is still running after
// `limit` of virtual time hangs, and ends the test program.
template <class T>
T run(env::SimulatedWorld& world, env::SimulatedMachine& machine, Task<T> task, CoreId core = CoreId{0},
      Duration limit = 1h) {
  using Kept = std::conditional_t<std::is_void_v<T>, bool, T>;
  auto result = std::make_shared<std::optional<Kept>>();
  machine.cores().spawn(core, detail::keep_result(result, std::move(task)));
  CHECK(world.run_until([&] { return result->has_value(); }, limit), "the task hangs");
  if constexpr (!std::is_void_v<T>) return *std::move(*result);
}

}  // namespace forelog::test
