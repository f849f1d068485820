// fan_out.h: one request, several cores: one hop to each, one back.
//
// Tasks for other cores are queued before anything suspends, and the one for this core begins at once: so two requests
// of one connection reach each core in the order in which they came.
#pragma once

#include "broker/env/cores.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace forelog::api {

namespace detail {

struct Pending {
  explicit Pending(env::Clock& clock) : done(clock) {}
  Event done;
  std::size_t count = 0;
};

inline Task<void> run_away(env::Cores& cores, CoreId home, std::shared_ptr<Pending> pending, Task<void> task) {
  co_await std::move(task);
  auto arrive = [pending = std::move(pending)] {
    if (--pending->count == 0) pending->done.notify();
  };
  cores.post(home, std::move(arrive));
}

}  // namespace detail

using CoreTask = std::pair<CoreId, Task<void>>;

// Runs each task on its core, all at the same time, and resumes when the last has ended. What tasks refer to may live
// in the caller's frame: it outlives them.
inline Task<void> fan_out(env::Cores& cores, std::vector<CoreTask> tasks) {
  auto home = cores.current();
  std::shared_ptr<detail::Pending> pending;
  std::vector<Task<void>> here;
  for (auto& [core, task] : tasks) {
    if (core == home) {
      here.push_back(std::move(task));
      continue;
    }
    if (!pending) pending = std::make_shared<detail::Pending>(cores.clock());
    ++pending->count;
    auto away = detail::run_away(cores, home, pending, std::move(task));
    cores.spawn(core, std::move(away));
  }
  for (auto& task : here) co_await std::move(task);
  while (pending && pending->count > 0) co_await pending->done.wait(kForever);
}

}  // namespace forelog::api
