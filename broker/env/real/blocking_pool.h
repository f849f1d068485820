// blocking_pool.h: threads for calls that block, so that no core does.
#pragma once

#include "broker/env/real/rests.h"
#include "broker/env/task.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace forelog::env {

class BlockingPool {
 public:
  explicit BlockingPool(int threads);
  // Its threads work for history: they make way (scheduling.h), and rest after each call while clients are `quick`. A
  // call should handle no more than some 256 KiB at such times.
  BlockingPool(int threads, const QuickClients& quick);
  ~BlockingPool();  // as `stop`
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // Runs what is queued, then ends. Must happen while the cores, which get the answers, still exist.
  void stop();
  // The same, but gives up after `max`: false when a call hangs in the system. Its thread cannot be ended; the process
  // must, without destroying anything.
  [[nodiscard]] bool stop_within(std::chrono::nanoseconds max);

  // Runs `call` on a thread of the pool; the caller resumes on its core with what it returned. `call` owns or outlives
  // all it touches, and does not throw.
  template <class Call, class T = std::invoke_result_t<Call&>>
  Task<T> run(Call call) {
    boost::asio::use_awaitable_t<> token;
    auto initiate = [this](auto handler, Call blocking) {
      auto work = [handler = std::move(handler), blocking = std::move(blocking)]() mutable {
        auto executor = boost::asio::get_associated_executor(handler);
        auto resume = [handler = std::move(handler), value = blocking()]() mutable {
          std::move(handler)(std::move(value));
        };
        boost::asio::post(executor, std::move(resume));
      };
      post(std::move(work));
    };
    co_return co_await boost::asio::async_initiate<boost::asio::use_awaitable_t<>, void(T)>(initiate, token,
                                                                                            std::move(call));
  }

  // Runs `call` some time, for nobody.
  void post(std::move_only_function<void()> call);

 private:
  void start(int threads, const QuickClients* quick);
  void work(Rests* rests);

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::move_only_function<void()>> queue_;
  bool stopping_ = false;
  std::size_t working_ = 0;  // threads that have not ended
  std::condition_variable ended_;
  std::vector<std::thread> threads_;
};

}  // namespace forelog::env
