#include "broker/env/budget.h"

#include "broker/base/check.h"
#include "broker/env/event.h"

#include <array>
#include <deque>
#include <utility>

namespace forelog::env {
namespace {

struct Request {
  Request(Clock& clock, Bytes size) : bytes(size), granted(clock) {}
  Bytes bytes;
  Event granted;
  bool is_granted = false;
};

std::size_t index_of(TrafficClass traffic) { return static_cast<std::size_t>(traffic); }

}  // namespace

struct Reservation::State {
  Clock& clock;
  Bytes limit = 0;
  Bytes reserved = 0;
  bool closed = false;
  std::array<std::deque<std::shared_ptr<Request>>, kTrafficClasses> waiting{};

  bool fits(Bytes bytes) const { return reserved == 0 || bytes <= limit - reserved; }
  bool may_take(Bytes bytes, TrafficClass traffic) const {
    for (std::size_t i = 0; i <= index_of(traffic); ++i)
      if (!waiting[i].empty()) return false;
    return fits(bytes);
  }

  void give_back(Bytes bytes) {
    reserved -= bytes;
    CHECK(reserved >= 0);
    grant();
  }

  // The first waiting request of the first class that has one decides: while it does not fit, nobody gets room.
  void grant() {
    for (auto& queue : waiting) {
      while (!queue.empty()) {
        auto request = queue.front();
        if (!fits(request->bytes)) return;
        queue.pop_front();
        reserved += request->bytes;
        request->is_granted = true;
        request->granted.notify();
      }
    }
  }
};

Reservation::Reservation(Reservation&& other) noexcept
    : state_(std::move(other.state_)), bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  release();
  state_ = std::move(other.state_);
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void Reservation::release() {
  auto state = std::exchange(state_, nullptr);
  auto bytes = std::exchange(bytes_, 0);
  if (state) state->give_back(bytes);
}

void Reservation::shrink(Bytes to) {
  CHECK(to >= 0 && to <= bytes_);
  auto before = std::exchange(bytes_, to);
  if (state_) state_->give_back(before - to);
}

ByteBudget::ByteBudget(Clock& clock, Bytes limit) : state_(new Reservation::State{clock, limit}) { CHECK(limit >= 0); }

ByteBudget::~ByteBudget() { close(); }

void ByteBudget::close() {
  state_->closed = true;
  for (auto& queue : state_->waiting)
    for (auto& request : std::exchange(queue, {})) request->granted.notify();
}

std::optional<Reservation> ByteBudget::try_reserve(Bytes bytes, TrafficClass traffic) {
  CHECK(bytes >= 0);
  if (state_->closed || !state_->may_take(bytes, traffic)) return std::nullopt;
  state_->reserved += bytes;
  return Reservation(state_, bytes);
}

Task<Result<Reservation>> ByteBudget::reserve(Bytes bytes, TrafficClass traffic, Deadline deadline) {
  auto state = state_;  // the budget may be gone when this resumes
  if (auto now = try_reserve(bytes, traffic)) co_return *std::move(now);
  if (state->closed) co_return fail(ErrorCode::kStopping, "a byte budget");

  auto request = std::make_shared<Request>(state->clock, bytes);
  auto& queue = state->waiting[index_of(traffic)];
  queue.push_back(request);
  bool in_time = true;
  while (!request->is_granted && !state->closed && in_time) in_time = co_await request->granted.wait(deadline);
  if (request->is_granted) co_return Reservation(state, bytes);
  if (state->closed) co_return fail(ErrorCode::kStopping, "a byte budget");
  std::erase(queue, request);
  state->grant();  // who stood behind may fit
  co_return fail(ErrorCode::kTimeout, std::to_string(bytes) + " bytes of a budget of " + std::to_string(state->limit));
}

Bytes ByteBudget::limit() const { return state_->limit; }
Bytes ByteBudget::reserved() const { return state_->reserved; }
std::size_t ByteBudget::waiting(TrafficClass traffic) const { return state_->waiting[index_of(traffic)].size(); }

void ByteBudget::set_limit(Bytes limit) {
  CHECK(limit >= 0);
  state_->limit = limit;
  state_->grant();
}

}  // namespace forelog::env
