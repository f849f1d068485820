// cores.h: the reactors. State lives on one core; work hops, coroutines do not.
#pragma once

#include "broker/base/check.h"
#include "broker/base/ids.h"
#include "broker/env/event.h"
#include "broker/env/task.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace forelog::env {

class Cores {
 public:
  virtual ~Cores() = default;

  virtual int count() const = 0;
  virtual CoreId current() const = 0;  // CHECKs that the caller runs on a core
  virtual bool on_a_core() const = 0;

  // Runs `work` on `core`, later. Any thread may call; calls from one thread to one core run in order.
  virtual void post(CoreId core, std::move_only_function<void()> work) = 0;

  // Starts `task` on `core`: on the current one at once, up to its first suspension, on another one later. An exception
  // that leaves it ends the process.
  virtual void spawn(CoreId core, Task<void> task) = 0;

  virtual Clock& clock() = 0;

  // Runs `task` on `core`, and yields its value here. Without a hop when `core` is the current one.
  template <class T>
  Task<T> on(CoreId core, Task<T> task);
};

namespace detail {

template <class T>
struct Reply {
  explicit Reply(Clock& clock) : arrived(clock) {}
  Event arrived;
  std::optional<T> value;
};

template <class T>
Task<void> run_and_reply(Cores& cores, CoreId home, std::shared_ptr<Reply<T>> reply, Task<T> task) {
  // `reply` is touched on its home core only; this frame hands its share back with the value.
  T value = co_await std::move(task);
  auto deliver = [reply = std::move(reply), value = std::move(value)]() mutable {
    reply->value.emplace(std::move(value));
    reply->arrived.notify();
  };
  cores.post(home, std::move(deliver));
}

}  // namespace detail

template <class T>
Task<T> Cores::on(CoreId core, Task<T> task) {
  if (core == current()) co_return co_await std::move(task);
  auto reply = std::make_shared<detail::Reply<T>>(clock());
  auto remote = detail::run_and_reply<T>(*this, current(), reply, std::move(task));
  spawn(core, std::move(remote));
  while (!reply->value) co_await reply->arrived.wait(kForever);
  co_return *std::move(reply->value);
}

}  // namespace forelog::env
