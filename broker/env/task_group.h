// task_group.h: tasks that belong together: spawn them, and join them at stop. One of the four primitives.
//
// Belongs to the core that made it; its tasks run there.
#pragma once

#include "broker/env/cores.h"

#include <cstddef>

namespace forelog {

class TaskGroup {
 public:
  explicit TaskGroup(env::Cores& cores);
  ~TaskGroup();  // CHECKs that every task has ended
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(Task<void> task);
  Task<void> join();  // resumes when the last task has ended; the owner has told them to stop
  std::size_t running() const { return running_; }

 private:
  static Task<void> run(TaskGroup& group, Task<void> task);
  env::Cores& cores_;
  Event ended_;
  std::size_t running_ = 0;
};

}  // namespace forelog
