// budget.h: a bound on bytes in memory, shared by those who need some at a time.
//
// Belongs to one core: reserving and releasing happen there. Who finds no room waits: tail reads and appends before
// cold reads, these before prefetches, these before the archiver; inside a class, first come, first served. Nobody
// passes a waiting request of its own class or of one before it, so a large one is not starved by small ones. A request
// larger than the whole limit is admitted alone, when nothing else is reserved.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/clock.h"
#include "broker/env/task.h"

#include <cstdint>
#include <memory>
#include <optional>

namespace forelog::env {

enum class TrafficClass : std::uint8_t { tail, cold, prefetch, archive };
inline constexpr std::size_t kTrafficClasses = 4;

class ByteBudget;

// Bytes set aside for whoever holds this; given back once, at the latest when it goes. It may outlive the budget.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { release(); }

  Bytes bytes() const { return bytes_; }
  void release();
  // Gives back what is not needed after all. CHECKs that `to` is no more than `bytes()`.
  void shrink(Bytes to);

 private:
  friend class ByteBudget;
  struct State;
  Reservation(std::shared_ptr<State> state, Bytes bytes) : state_(std::move(state)), bytes_(bytes) {}
  std::shared_ptr<State> state_;
  Bytes bytes_ = 0;
};

class ByteBudget {
 public:
  ByteBudget(Clock& clock, Bytes limit);
  ~ByteBudget();  // as `close`
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Waits for room. Timeout at `deadline`; Stopping once closed.
  Task<Result<Reservation>> reserve(Bytes bytes, TrafficClass traffic, Deadline deadline);
  // Nothing if that would have to wait.
  std::optional<Reservation> try_reserve(Bytes bytes, TrafficClass traffic);

  Bytes limit() const;
  Bytes reserved() const;
  std::size_t waiting(TrafficClass traffic) const;
  void set_limit(Bytes limit);  // may stand below what is reserved; new requests wait until that has gone down

  // Fails who waits, and whoever comes later.
  void close();

 private:
  std::shared_ptr<Reservation::State> state_;
};

}  // namespace forelog::env
