#include "broker/env/task_group.h"

#include "broker/base/check.h"

namespace forelog {

TaskGroup::TaskGroup(env::Cores& cores) : cores_(cores), ended_(cores.clock()) {}

TaskGroup::~TaskGroup() { CHECK(running_ == 0, "join a TaskGroup before it goes"); }

void TaskGroup::spawn(Task<void> task) {
  ++running_;
  cores_.spawn(cores_.current(), run(*this, std::move(task)));
}

Task<void> TaskGroup::run(TaskGroup& group, Task<void> task) {
  co_await std::move(task);
  if (--group.running_ == 0) group.ended_.notify();
}

Task<void> TaskGroup::join() {
  while (running_ > 0) co_await ended_.wait(kForever);
}

}  // namespace forelog
