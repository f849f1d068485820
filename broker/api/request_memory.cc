#include "broker/api/request_memory.h"

#include "broker/env/event.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace forelog::api {
namespace {

constexpr auto kTraffic = env::TrafficClass::tail;
constexpr Bytes kUnbounded = 1024 * 1_TiB;
constexpr Bytes kAnswerMin = 1_MiB;     // one batch, as large as it may be by default, and some
constexpr Duration kLookEvery = 250ms;  // for slow holders, while somebody waits

Bytes small_part(Bytes bound) { return (bound < 0 ? kUnbounded : bound) / 8; }
Bytes large_part(Bytes bound) { return (bound < 0 ? kUnbounded : bound) - small_part(bound); }

constexpr auto kBytesHelp = "Set aside for requests and answers (queued.max.request.bytes, queued.max.response.bytes)";
constexpr auto kWaitsHelp = "Times that a request waited for memory, its own or that of its answer";

bool has_waiters(const env::ByteBudget& budget) { return budget.waiting(kTraffic) > 0; }

}  // namespace

RequestMemory::RequestMemory(env::Cores& cores, Limits limits, MetricsRegistry& metrics)
    : cores_(cores),
      small_requests_(cores.clock(), small_part(limits.requests)),
      usual_requests_(cores.clock(), small_part(limits.requests) * 4),
      large_requests_(cores.clock(), large_part(limits.requests) - small_part(limits.requests) * 4),
      small_answers_(cores.clock(), small_part(limits.answers)),
      large_answers_(cores.clock(), large_part(limits.answers)),
      request_gauge_(metrics, "forelog_request_memory_bytes", kBytesHelp, "use=\"request\""),
      answer_gauge_(metrics, "forelog_request_memory_bytes", kBytesHelp, "use=\"answer\""),
      request_waits_(metrics, "forelog_request_memory_waits_total", kWaitsHelp, "use=\"request\""),
      answer_waits_(metrics, "forelog_request_memory_waits_total", kWaitsHelp, "use=\"answer\""),
      taken_back_(metrics, "forelog_connections_slow_total",
                  "Connections closed because others waited for the memory that they held and hardly used"),
      stopped_(cores.clock()),
      tasks_(cores) {}

env::ByteBudget& RequestMemory::budget_for(Bytes request) {
  if (request <= kSmall) return small_requests_;
  return request <= kUsual ? usual_requests_ : large_requests_;
}

std::optional<env::Reservation> RequestMemory::try_request(Bytes size) {
  auto room = budget_for(size).try_reserve(size, kTraffic);
  if (room) note_change();
  return room;
}

Task<Result<env::Reservation>> RequestMemory::for_request(Bytes size) {
  if (auto room = try_request(size)) co_return *std::move(room);
  ++request_waits_;
  co_return co_await wait(budget_for(size), size, kForever);
}

Task<Result<env::Reservation>> RequestMemory::for_answer(Bytes least, Bytes wanted, Deadline deadline) {
  // No answer takes more than an eighth of what is left, so that the first few leave something to the others.
  auto fair = std::max(kAnswerMin, (large_answers_.limit() - large_answers_.reserved()) / 8);
  auto size = std::max(least, std::min(wanted, fair));
  auto room = large_answers_.try_reserve(size, kTraffic);
  if (!room && least <= kSmall) room = small_answers_.try_reserve(std::min(size, kSmall), kTraffic);
  if (room) {
    note_change();
    co_return *std::move(room);
  }
  ++answer_waits_;
  co_return co_await wait(large_answers_, size, deadline);
}

bool RequestMemory::settle(env::Reservation& answer, Bytes size) {
  if (size <= answer.bytes()) {
    answer.shrink(size);
    note_change();
    return true;
  }
  answer.release();
  auto room = large_answers_.try_reserve(size, kTraffic);
  bool fits = room.has_value();
  if (fits) answer = *std::move(room);
  note_change();
  return fits;
}

bool RequestMemory::is_short(MemoryUse use) const {
  if (use == MemoryUse::answer) return has_waiters(large_answers_);
  return has_waiters(small_requests_) || has_waiters(usual_requests_) || has_waiters(large_requests_);
}

Task<Result<env::Reservation>> RequestMemory::wait(env::ByteBudget& budget, Bytes size, Deadline deadline) {
  if (!watching_ && !stopping_) {
    watching_ = true;
    tasks_.spawn(watch(*this));
  }
  auto room = co_await budget.reserve(size, kTraffic, deadline);
  note_change();
  co_return room;
}

// The slower half of those who are too slow: often enough the others need not go.
void RequestMemory::take_back(MemoryUse use) {
  std::vector<std::pair<Duration, std::size_t>> slow;
  auto now = cores_.clock().now();
  for (std::size_t i = 0; i < holders_.size(); ++i) {
    auto overdue = holders_[i]->overdue(use, now);
    if (overdue > Duration::zero()) slow.emplace_back(overdue, i);
  }
  std::sort(slow.begin(), slow.end(), std::greater<>());
  slow.resize((slow.size() + 1) / 2);
  for (auto& [overdue, i] : slow) {
    ++taken_back_;
    holders_[i]->give_up();
  }
}

Task<void> RequestMemory::watch(RequestMemory& self) {
  while (true) {
    co_await self.stopped_.wait(self.cores_.clock().now() + kLookEvery);
    bool is_needed = false;
    for (auto use : {MemoryUse::request, MemoryUse::answer}) {
      if (self.stopping_ || !self.is_short(use)) continue;
      is_needed = true;
      self.take_back(use);
    }
    if (is_needed) continue;
    self.watching_ = false;
    co_return;
  }
}

Task<void> RequestMemory::stop() {
  stopping_ = true;
  for (auto* budget : {&small_requests_, &usual_requests_, &large_requests_, &small_answers_, &large_answers_})
    budget->close();
  stopped_.notify();
  co_await tasks_.join();
}

void RequestMemory::note_change() {
  request_gauge_.set(request_bytes());
  answer_gauge_.set(answer_bytes());
}

}  // namespace forelog::api
