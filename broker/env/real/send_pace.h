// send_pace.h: how fast large answers go while others wait for small ones. Pure; all of it belongs to one core.
//
// A kernel that does not preempt itself, and most servers' do not, copies what lies ready for a socket in one go, up to
// a millisecond; so does the client's, if it runs on the same machine. Whoever wants that CPU waits, at each step from
// a producer to the reader of its records. So while a core serves connections that ask often and are answered with
// little, large answers go in smaller pieces, less of them is under way, and between two of them the CPU is free.
#pragma once

#include "broker/env/real/rests.h"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace forelog::env {

// Of a core: who is there.
class SendPace {
 public:
  struct Step {
    std::size_t size;      // sent before others have their turn
    Duration pause;        // before the next one
    int unsent_max;        // bytes that the kernel takes ahead of those on their way
    int unsent_files_max;  // the same, of an answer that lies in files
  };
  // Without others a client gets all that it takes. Of a client that does not keep up the kernel would take 4 MiB a
  // connection, of memory that nobody accounts for; bytes in files take none, as their pages are there anyway, and with
  // more of them on their way the sender is woken less often (consuming takes an eighth less CPU).
  static constexpr Step kAlone{256 << 10, Duration::zero(), 256 << 10, 2 << 20};
  static constexpr Step kBesideQuick{64 << 10, 250us, 64 << 10, 128 << 10};

  explicit SendPace(QuickClients& everywhere) : everywhere_(everywhere) {}

  // Somebody asks again who has been answered with little.
  void note_quick(Instant now) {
    quick_.note(now);
    everywhere_.note(now);
  }
  const Step& step(Instant now) const { return quick_.any(now) ? kBesideQuick : kAlone; }

  // Rounds of the core: at each, those who stood in its queue when it was asked for have had their turn. Time does not
  // tell it, since a thread may be kept from its CPU. True: the caller posts `come_round` to the core; else somebody
  // has.
  bool ask_for_round() { return !std::exchange(is_asked_, true); }
  void come_round() {
    is_asked_ = false;
    ++rounds_;
  }
  std::uint64_t rounds() const { return rounds_; }

 private:
  QuickClients quick_;  // of this core
  QuickClients& everywhere_;
  bool is_asked_ = false;
  std::uint64_t rounds_ = 0;
};

// Of a connection: what it may send now. A step may lie in one write or in several that never waited; a client that
// takes as fast as it is given would otherwise keep the core for all of an answer, 50 MB and tens of milliseconds.
class SendTurn {
 public:
  static constexpr std::size_t kLittle = 64 << 10;

  explicit SendTurn(SendPace& pace) : pace_(pace) {}

  // Something has come from the client. The first piece of what it asks shows what it was answered before; others do
  // not.
  void note_read(Instant now) {
    if (sent_since_read_ > 0 && sent_since_read_ <= kLittle) pace_.note_quick(now);
    sent_since_read_ = 0;
  }

  // A write begins. Who has just sent goes on with what is left of the step; after a round, and the step's pause, it is
  // a new one.
  void begin(Instant now);
  void end(Instant now);
  // Enough of the step is used that a round is worth a look at the queue.
  bool wants_round() const { return left_ < step_.size / 2; }
  // Others have had their turn.
  void next(Instant now);

  const SendPace::Step& step() const { return step_; }
  std::size_t left() const { return left_; }
  bool is_over() const { return left_ == 0; }
  // `cost`: what this takes of the step.
  void note_sent(std::size_t size, std::size_t cost);

 private:
  SendPace& pace_;
  SendPace::Step step_ = SendPace::kAlone;
  std::size_t left_ = step_.size;
  std::size_t sent_since_read_ = 0;
  Instant ended_at_{};
  std::uint64_t ended_in_ = 0;  // round
};

}  // namespace forelog::env
