#include "broker/env/event.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace forelog {
namespace {

// One suspended coroutine. Whoever comes first, notification or timer, queues its resumption; the other finds nothing.
class Suspended final : public env::Waiter {
 public:
  void wake() override {
    if (auto resume = std::exchange(resume_, nullptr)) resume();
  }
  void notify() {
    notified_ = resume_ != nullptr;
    wake();
  }
  bool notified() const { return notified_; }

  static Task<void> suspend(std::shared_ptr<Suspended> self) {
    auto initiate = [](auto handler, const std::shared_ptr<Suspended>& waiter) {
      waiter->resume_ = [handler = std::move(handler)]() mutable {
        auto executor = boost::asio::get_associated_executor(handler);
        boost::asio::post(executor, std::move(handler));
      };
    };
    boost::asio::use_awaitable_t<> token;
    co_await boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void()>(initiate, token, std::move(self));
  }

 private:
  std::move_only_function<void()> resume_;
  bool notified_ = false;
};

}  // namespace

struct Event::State {
  env::Clock& clock;
  std::vector<std::shared_ptr<Suspended>> waiting;
  std::uint64_t count = 0;
};

Event::Event(env::Clock& clock) : state_(new State{clock, {}, 0}) {}

Event::~Event() { notify(); }

std::uint64_t Event::count() const { return state_->count; }

Task<bool> Event::wait_since(std::uint64_t seen, Deadline deadline) {
  if (state_->count != seen) co_return true;
  co_return co_await wait(deadline);
}

bool Event::has_waiters() const { return !state_->waiting.empty(); }

void Event::notify() {
  ++state_->count;
  // Waking only queues, so nobody can touch the list while it is walked.
  for (auto& suspended : std::exchange(state_->waiting, {})) suspended->notify();
}

Task<bool> Event::wait(Deadline deadline) {
  auto state = state_;  // the event may be gone when this resumes
  if (deadline <= state->clock.now()) co_return false;
  auto suspended = std::make_shared<Suspended>();
  state->waiting.push_back(suspended);
  env::Clock::TimerId timer = 0;
  if (deadline != kForever) timer = state->clock.wake_at(deadline, suspended);
  co_await Suspended::suspend(suspended);
  if (suspended->notified()) {
    if (deadline != kForever) state->clock.cancel(timer);
    co_return true;
  }
  std::erase(state->waiting, suspended);
  co_return false;
}

Task<void> sleep_until(env::Clock& clock, Instant at) {
  if (at <= clock.now()) co_return;
  auto suspended = std::make_shared<Suspended>();
  clock.wake_at(at, suspended);
  co_await Suspended::suspend(suspended);
}

}  // namespace forelog
