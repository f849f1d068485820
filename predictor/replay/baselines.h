// baselines.h: what ours is measured against: nothing, the next blocks, the broker's own read-ahead, and a clairvoyant.
#pragma once

#include "broker/prefetch/read_ahead.h"
#include "predictor/replay/method.h"
#include "predictor/replay/trace.h"

#include <memory>
#include <unordered_set>

namespace forelog::predictor::replay {

class NoPrefetch final : public Method {
 public:
  std::string name() const override { return "none"; }
  void on_read(const ReadEvent&, WantedList&) override {}
};

// The next `count` blocks after every read.
class NextBlocks final : public Method {
 public:
  explicit NextBlocks(int count) : count_(count) {}
  std::string name() const override { return "next-" + std::to_string(count_); }
  void on_read(const ReadEvent& event, WantedList& out) override;

 private:
  int count_;
};

// The broker's read-ahead, one window for each reader of a stream.
class ReadAheadMethod final : public Method {
 public:
  // `share`: memory that all windows together may ask for.
  ReadAheadMethod(Duration latency, Bytes share);
  std::string name() const override { return "read-ahead"; }
  void on_read(const ReadEvent& event, WantedList& out) override;
  void on_outcome(std::uint64_t tag, const Place&, bool used, Instant now) override;

 private:
  Duration latency_;
  prefetch::ReadAheads windows_;
};

// Knows the future, but loads only what history or adjacency could name: blocks that somebody read before, and blocks
// just behind one that was read.
class Reach final : public Method {
 public:
  Reach(const Trace& trace, Duration latency) : trace_(trace), lead_(latency + latency / 2) {}
  std::string name() const override { return "reach"; }
  void on_read(const ReadEvent& event, WantedList& out) override;
  void on_time(Instant now, WantedList& out) override;
  std::optional<Instant> next_wake() const override;

 private:
  bool nameable(const Request& request) const;
  const Trace& trace_;
  Duration lead_;
  std::size_t next_ = 0;
  std::unordered_set<Place> seen_;
};

}  // namespace forelog::predictor::replay
