// request_memory.h: the bytes that requests and answers hold on one core, bounded however many connections there are.
//
// A request's bytes are set aside before its body is read, and given back when it has been understood; those of a large
// one, or of a Produce, whose batches lie in them, when it has been answered. The bytes of a fetch's answer are set
// aside before they are read, and given back when the client has taken them. Only bytes in memory count, not those that
// go from a file to the socket. Who finds no room waits: a connection is not read from, a fetch is answered later, or
// with less. Nobody is refused. A request larger than all there is passes alone.
//
// Requests of a size share a part of the bound: an eighth is for small ones, half for those as large as a batch may be
// by default, the rest for larger ones, which may be announced and never come. An eighth of the other bound is kept for
// small answers. And while anybody waits, holders that make too little use of their memory are told to give it up, the
// slowest first.
//
// One a core, used on that core only.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/budget.h"
#include "broker/env/cores.h"
#include "broker/env/task_group.h"

#include <vector>

namespace forelog::api {

enum class MemoryUse : std::uint8_t { request, answer };

// Whoever may hold memory for as long as a client likes: a connection.
class MemoryHolder {
 public:
  virtual ~MemoryHolder() = default;
  // For how long this has held memory of this use longer than it may while others wait; zero: it does not.
  virtual Duration overdue(MemoryUse use, Instant now) const = 0;
  virtual void give_up() = 0;  // all its memory comes back within a moment
};

class RequestMemory {
 public:
  struct Limits {
    Bytes requests = -1;  // negative: no bound
    Bytes answers = -1;
  };
  RequestMemory(env::Cores& cores, Limits limits, MetricsRegistry& metrics);
  RequestMemory(const RequestMemory&) = delete;
  RequestMemory& operator=(const RequestMemory&) = delete;

  // Room for a request of `size` bytes, if there is some now.
  std::optional<env::Reservation> try_request(Bytes size);
  // The same, waiting for as long as it takes. Stopping once `stop` was called.
  Task<Result<env::Reservation>> for_request(Bytes size);

  // Room for an answer of up to `wanted` bytes: less when memory is short, but not less than `least`. Timeout;
  // Stopping.
  Task<Result<env::Reservation>> for_answer(Bytes least, Bytes wanted, Deadline deadline);
  // The answer turned out to hold `size` bytes. False when it holds more than was set aside, and there is no room for
  // that now: then nothing is set aside any more, and the answer must go.
  bool settle(env::Reservation& answer, Bytes size);

  // Holders are added while they may hold memory.
  void add(MemoryHolder& holder) { holders_.push_back(&holder); }
  void remove(MemoryHolder& holder) { std::erase(holders_, &holder); }

  // Nobody waits any more, and nobody gets room.
  Task<void> stop();

  void note_change();  // memory was given back; for the gauges
  Bytes request_bytes() const {
    return small_requests_.reserved() + usual_requests_.reserved() + large_requests_.reserved();
  }
  Bytes answer_bytes() const { return small_answers_.reserved() + large_answers_.reserved(); }

  static constexpr Bytes kSmall = 64_KiB;
  static constexpr Bytes kUsual = 2_MiB;

 private:
  env::ByteBudget& budget_for(Bytes request);
  bool is_short(MemoryUse use) const;
  Task<Result<env::Reservation>> wait(env::ByteBudget& budget, Bytes size, Deadline deadline);
  void take_back(MemoryUse use);
  static Task<void> watch(RequestMemory& self);

  env::Cores& cores_;
  env::ByteBudget small_requests_, usual_requests_, large_requests_, small_answers_, large_answers_;
  Gauge request_gauge_, answer_gauge_;
  Counter request_waits_, answer_waits_, taken_back_;
  std::vector<MemoryHolder*> holders_;
  bool watching_ = false, stopping_ = false;
  Event stopped_;
  TaskGroup tasks_;
};

}  // namespace forelog::api
