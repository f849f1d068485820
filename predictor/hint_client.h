// hint_client.h: sends plans to the brokers' hint services: one connection and one thread a broker.
//
// `offer` never waits: plans queue, bounded, the oldest fall out; what has expired when its turn comes is dropped. A
// broker that does not answer is tried again with growing pauses and costs the others nothing. A plan that its broker
// does not own goes to the owner that it names, once.
#pragma once

#include "predictor/planner.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace forelog::predictor {

struct HintClientSettings {
  std::size_t waiting_max = 10'000;  // plans, for each broker
  std::size_t batch_max = 128;       // plans, in one call
  std::size_t brokers_max = 256;
  Duration call_timeout = 2s;
  Duration retry_min = 100ms, retry_max = 5s;
};

// Counted on the senders' threads, read on any.
struct HintCounts {
  std::atomic<std::int64_t> accepted{0}, refused{0}, dropped{0}, redirected{0}, failures{0};
};

class HintClient {
 public:
  // `now` is the time that plans' moments are in; called on any thread.
  HintClient(HintClientSettings settings, std::function<Instant()> now);
  ~HintClient();  // stops: what still waits is dropped
  HintClient(const HintClient&) = delete;
  HintClient& operator=(const HintClient&) = delete;

  void offer(std::vector<Outgoing> plans);
  const HintCounts& counts() const { return counts_; }

 private:
  struct Waiting {
    prefetch::Plan plan;
    bool redirected = false;
  };
  class Sender;
  void put(const std::string& endpoint, std::vector<Waiting> plans);

  HintClientSettings settings_;
  std::function<Instant()> now_;
  HintCounts counts_;
  std::mutex mutex_;  // over `senders_`; a sender's own lock is never held when it is taken
  bool stopping_ = false;
  std::map<std::string, std::unique_ptr<Sender>> senders_;
};

}  // namespace forelog::predictor
