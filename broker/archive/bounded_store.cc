#include "broker/archive/bounded_store.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace forelog::archive {
namespace {

constexpr Duration kOverdue = 500ms;  // past its deadline, and the store has forgotten the call

template <class T>
struct Pending {
  explicit Pending(env::Clock& clock) : ended(clock) {}
  Event ended;
  std::optional<Result<T>> result;
};

template <class T>
Task<void> finish(std::shared_ptr<Pending<T>> pending, Task<Result<T>> call) {
  auto result = co_await std::move(call);
  pending->result.emplace(std::move(result));
  pending->ended.notify();
}

// Somebody's content, lent to a call that may outlast him.
class LentContent final : public env::ObjectContent {
 public:
  LentContent(env::ObjectContent& of, env::Clock& clock) : of_(&of), size_(of.size()), ended_(clock) {}

  Bytes size() const override { return size_; }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    if (of_ == nullptr) co_return fail(ErrorCode::kStopping, "an upload that nobody waits for");
    ++reading_;
    auto bytes = co_await of_->read(from, size);
    --reading_;
    ended_.notify();
    co_return bytes;
  }
  Task<void> take_back() {
    of_ = nullptr;
    while (reading_ > 0) co_await ended_.wait(kForever);
  }

 private:
  env::ObjectContent* of_;
  Bytes size_;
  int reading_ = 0;
  Event ended_;
};

struct LentSink {
  env::ObjectStore::OnPiece on_piece;
};

Task<Result<void>> put_lent(env::ObjectStore& store, std::string key, std::shared_ptr<LentContent> content,
                            Deadline deadline) {
  co_return co_await store.put(std::move(key), *content, deadline);
}

}  // namespace

BoundedStore::BoundedStore(env::Cores& cores, env::ObjectStore& store, MetricsRegistry& metrics)
    : cores_(cores),
      store_(store),
      left_alone_(metrics, "forelog_archive_calls_left_alone_total",
                  "Requests that the archive had not answered when their deadline, or a stop, was over.") {}

void BoundedStore::stop(Duration grace) {
  if (std::exchange(stopping_, true)) return;
  stop_at_ = cores_.clock().now() + grace;
  for (auto* event : waiting_) event->notify();
}

template <class T>
Task<Result<T>> BoundedStore::bounded(std::string what, Task<Result<T>> call, Deadline deadline) {
  if (stopping_) co_return fail(ErrorCode::kStopping, "archive, " + what);
  auto& clock = cores_.clock();
  auto pending = std::make_shared<Pending<T>>(clock);
  auto overdue = deadline < kForever - kOverdue ? deadline + kOverdue : kForever;
  auto running = finish<T>(pending, std::move(call));
  cores_.spawn(cores_.current(), std::move(running));
  auto place = waiting_.insert(waiting_.end(), &pending->ended);
  while (!pending->result && clock.now() < std::min(overdue, stop_at_)) {
    auto until = std::min(overdue, stop_at_);
    co_await pending->ended.wait(until);
  }
  waiting_.erase(place);
  if (pending->result) co_return *std::move(pending->result);
  ++left_alone_;
  if (stopping_) co_return fail(ErrorCode::kStopping, "archive, " + what);
  co_return fail(ErrorCode::kTimeout, "archive, " + what);
}

Task<Result<void>> BoundedStore::put(std::string key, env::ObjectContent& content, Deadline deadline) {
  auto lent = std::make_shared<LentContent>(content, cores_.clock());
  auto call = put_lent(store_, key, lent, deadline);
  auto done = co_await bounded(std::move(key), std::move(call), deadline);
  co_await lent->take_back();
  co_return done;
}

Task<Result<void>> BoundedStore::get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece,
                                           env::TrafficClass traffic, Deadline deadline) {
  auto sink = std::make_shared<LentSink>(std::move(on_piece));
  OnPiece pass_on = [sink](Piece piece) {
    if (sink->on_piece) sink->on_piece(std::move(piece));
  };
  auto call = store_.get_range(key, from, size, std::move(pass_on), traffic, deadline);
  auto done = co_await bounded(std::move(key), std::move(call), deadline);
  sink->on_piece = nullptr;
  co_return done;
}

Task<Result<env::ObjectInfo>> BoundedStore::head(std::string key, Deadline deadline) {
  auto call = store_.head(key, deadline);
  co_return co_await bounded(std::move(key), std::move(call), deadline);
}

Task<Result<void>> BoundedStore::remove(std::string key, Deadline deadline) {
  auto call = store_.remove(key, deadline);
  co_return co_await bounded(std::move(key), std::move(call), deadline);
}

Task<Result<std::vector<env::ObjectInfo>>> BoundedStore::list(std::string prefix, std::string after, std::size_t limit,
                                                              Deadline deadline) {
  auto call = store_.list(prefix, std::move(after), limit, deadline);
  co_return co_await bounded(std::move(prefix), std::move(call), deadline);
}

}  // namespace forelog::archive
