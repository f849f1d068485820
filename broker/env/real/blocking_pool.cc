#include "broker/env/real/blocking_pool.h"

#include "broker/base/check.h"
#include "broker/env/real/scheduling.h"

namespace forelog::env {

BlockingPool::BlockingPool(int threads) { start(threads, nullptr); }

BlockingPool::BlockingPool(int threads, const QuickClients& quick) { start(threads, &quick); }

void BlockingPool::start(int threads, const QuickClients* quick) {
  CHECK(threads > 0);
  working_ = static_cast<std::size_t>(threads);
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, quick] {
      if (quick == nullptr) return work(nullptr);
      make_way();
      Rests rests(*quick);
      work(&rests);
    });
  }
}

BlockingPool::~BlockingPool() { stop(); }

void BlockingPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  more_.notify_all();
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

bool BlockingPool::stop_within(std::chrono::nanoseconds max) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    more_.notify_all();
    if (!ended_.wait_for(lock, max, [this] { return working_ == 0; })) return false;
  }
  stop();
  return true;
}

void BlockingPool::post(std::move_only_function<void()> call) {
  bool queued = false;
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      queue_.push_back(std::move(call));
      queued = true;
    }
  }
  if (queued) {
    more_.notify_one();  // under the lock, the thread would wake only to wait for it
  } else {
    call();  // nobody works here any more; a late close of a file must not be lost
  }
}

void BlockingPool::work(Rests* rests) {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) break;
    auto call = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    call();
    call = nullptr;
    if (rests != nullptr) rests->after(RestRule::kStride);
    lock.lock();
  }
  if (--working_ == 0) ended_.notify_all();
}

}  // namespace forelog::env
