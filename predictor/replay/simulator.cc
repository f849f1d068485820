#include "predictor/replay/simulator.h"

#include "broker/base/limits.h"
#include "broker/cache/eviction.h"
#include "broker/prefetch/prefetch_queue.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <queue>
#include <unordered_map>

namespace forelog::predictor::replay {
namespace {

using cache::LoadKind;

struct Payload {
  bool prefetched = false;
  std::uint64_t tag = 0;
};
using Policy = cache::EvictionPolicy<Place, Payload>;

struct Load {
  Instant ready;
  bool prefetch = false;
  bool awaited = false;  // somebody came before it was there
  std::uint64_t tag = 0;
};

// As in a broker.
constexpr std::size_t kQueueMax = 8192, kLaneMax = 512;
constexpr std::int64_t kShardBlocks = 1 << 20;

// A stream of the trace as a partition, its blocks in shards, so that the broker's queue can hold them.
prefetch::Extent extent_of(const Place& place) {
  ShardId shard;
  std::memcpy(shard.partition.topic.bytes.data(), &place.stream, sizeof(place.stream));
  shard.base = Offset(place.block / kShardBlocks);
  return {shard, static_cast<std::uint32_t>(place.block % kShardBlocks), 1};
}
Place place_of(const prefetch::Extent& extent, std::uint32_t i) {
  Place place;
  std::memcpy(&place.stream, extent.shard.partition.topic.bytes.data(), sizeof(place.stream));
  place.block = extent.shard.base.value() * kShardBlocks + extent.first + i;
  return place;
}

class Simulation {
 public:
  Simulation(const Trace& trace, const SimulatorSettings& settings, Method& method)
      : trace_(trace), settings_(settings), method_(method), cache_(limits(settings)) {
    report_.method = method.name();
    tokens_ = settings.requests_per_second;
  }

  Report run() {
    waits_.reserve(trace_.requests.size() / 2 + 1);
    if (settings_.mode == Mode::open)
      run_open();
    else
      run_closed();
    finish();
    return report_;
  }

 private:
  static cache::EvictionLimits limits(const SimulatorSettings& settings) {
    cache::EvictionLimits out;
    out.capacity = static_cast<Bytes>(std::max<std::size_t>(settings.cache_blocks, 8)) * kBlockSize;
    return out;
  }

  void run_open() {
    for (const auto& request : trace_.requests) read(request, request.at);
  }

  // Each client's requests in turn, the next one after the pause that the trace has between them.
  void run_closed() {
    std::unordered_map<std::uint32_t, std::size_t> last_of_client;
    std::vector<std::size_t> next(trace_.requests.size(), 0);
    using Due = std::pair<Instant, std::size_t>;
    std::priority_queue<Due, std::vector<Due>, std::greater<>> due;
    for (std::size_t i = 0; i < trace_.requests.size(); ++i) {
      auto [at, first] = last_of_client.try_emplace(trace_.requests[i].client, i);
      if (first) {
        due.emplace(trace_.requests[i].at, i);
      } else {
        next[at->second] = i;
        at->second = i;
      }
    }
    while (!due.empty()) {
      auto [at, i] = due.top();
      due.pop();
      auto wait = read(trace_.requests[i], at);
      if (next[i] != 0) due.emplace(at + wait + (trace_.requests[next[i]].at - trace_.requests[i].at), next[i]);
    }
  }

  bool measured() const { return done_ >= trace_.requests.size() / 2; }

  Duration read(const Request& request, Instant now) {
    advance(now);
    Duration wait{};
    auto answer = Answer::hit;
    if (auto use = cache_.use(request.place, std::uint64_t{request.client} + 1); use.payload != nullptr) {
      if (use.first && use.payload->prefetched) {
        answer = Answer::planned;
        outcome(use.payload->tag, request.place, true, now);
        if (measured()) ++report_.used;
      }
      if (measured()) ++report_.hits;
    } else if (auto load = loads_.find(request.place); load != loads_.end()) {
      wait = load->second.ready - now;
      // Joining somebody's demand is a wait like a miss, but no request more.
      answer = load->second.prefetch ? Answer::late : Answer::miss;
      if (load->second.prefetch && !load->second.awaited) {
        outcome(load->second.tag, request.place, true, now);
        if (measured()) ++report_.late;
      }
      load->second.awaited = true;
    } else {
      answer = Answer::miss;
      wait = settings_.latency;
      start(request.place, {.ready = now + wait, .prefetch = false, .awaited = true, .tag = 0}, now);
      if (measured()) ++report_.demand;
    }
    if (measured()) {
      ++report_.requests;
      report_.stall_seconds += to_seconds(wait);
      waits_.push_back(static_cast<float>(to_seconds(wait) * 1000));
    }
    ++done_;
    wanted_.clear();
    method_.on_read({.at = now,
                     .reader = request.client,
                     .job = request.client,
                     .place = request.place,
                     .blocks = 1,
                     .addressed = request.addressed,
                     .answer = answer},
                    wanted_);
    take_wanted(now);
    return wait;
  }

  // Everything that happens up to `now`, in order.
  void advance(Instant now) {
    for (;;) {
      auto wake = method_.next_wake();
      bool arrives = !arrivals_.empty() && arrivals_.top().first <= now;
      bool wakes = wake && *wake <= now;
      if (!arrives && !wakes) break;
      if (arrives && (!wakes || arrivals_.top().first <= *wake)) {
        auto [at, place] = arrivals_.top();
        arrivals_.pop();
        arrive(place, at);
      } else {
        wanted_.clear();
        method_.on_time(*wake, wanted_);
        take_wanted(*wake);
      }
    }
    pump(now);
  }

  void arrive(const Place& place, Instant at) {
    auto found = loads_.find(place);
    auto load = found->second;
    loads_.erase(found);
    auto kind = load.prefetch ? LoadKind::prefetch : LoadKind::demand;
    cache_.release(kind, kBlockSize);
    evicted_.clear();
    cache_.insert(place, {load.prefetch, load.tag}, kBlockSize, kind, load.awaited, at, at, evicted_);
    account_evicted(at);
  }

  void start(const Place& place, const Load& load, Instant now) {
    evicted_.clear();
    auto kind = load.prefetch ? LoadKind::prefetch : LoadKind::demand;
    bool room = cache_.reserve(kind, kBlockSize, now, evicted_);
    account_evicted(now);
    if (!room && load.prefetch) {
      if (measured()) ++report_.refused;
      return;
    }
    // Demand that finds no room passes through without staying.
    if (!room) return;
    loads_.emplace(place, load);
    arrivals_.emplace(load.ready, place);
    if (load.prefetch && measured()) ++report_.fetched;
  }

  void take_wanted(Instant now) {
    for (const auto& wanted : wanted_) {
      if (wanted.place.block < 0 || loads_.contains(wanted.place) || is_kept(wanted.place, now)) continue;
      prefetch::QueuedExtent entry;
      entry.extent = extent_of(wanted.place);
      entry.cause.plan = prefetch::PlanId(wanted.tag);
      entry.cause.score = wanted.score;
      entry.needed_by = wanted.needed_by;
      entry.worthless_after = wanted.needed_by + settings_.latency;
      for (const auto& dropped : queue_.offer(std::move(entry))) note_refused(dropped.extent.count);
    }
    pump(now);
  }

  // What is here already stays for the reader who is expected, as far as there is room for such blocks.
  bool is_kept(const Place& place, Instant now) {
    evicted_.clear();
    auto presence = cache_.expect(place, LoadKind::prefetch, now, now, evicted_);
    account_evicted(now);
    return presence == cache::Presence::kept;
  }
  void note_refused(std::uint32_t blocks) {
    if (measured()) report_.refused += blocks;
  }

  // Starts what budget and room allow, in the order of the broker's queue. A request is a block here, as in the
  // baselines' figures.
  void pump(Instant now) {
    if (now > refilled_) {
      tokens_ = std::min(tokens_ + to_seconds(now - refilled_) * settings_.requests_per_second,
                         settings_.requests_per_second);
      refilled_ = now;
    }
    std::vector<prefetch::QueuedExtent> late;  // too late to be of use
    auto capacity = cache_.capacity();
    auto staging = static_cast<Bytes>(static_cast<double>(capacity) * cache::EvictionLimits{}.staging_share);
    for (auto next = queue_.next(); next && tokens_ >= 1; next = queue_.next()) {
      auto needed = prefetch::PrefetchQueue::room_for(*next, staging, capacity, settings_.latency, now);
      if (cache_.room(LoadKind::prefetch, now) < needed) break;
      auto entry = queue_.pop(now, late);
      if (!entry) break;
      for (std::uint32_t i = 0; i < entry->extent.count; ++i) {
        auto place = place_of(entry->extent, i);
        if (loads_.contains(place) || cache_.contains(place)) continue;
        tokens_ -= 1;
        start(place, {now + settings_.latency, true, false, entry->cause.plan.value()}, now);
      }
    }
  }

  void account_evicted(Instant now) {
    for (const auto& evicted : evicted_) {
      if (evicted.used || !evicted.payload.prefetched) continue;
      if (measured()) ++report_.unused;
      outcome(evicted.payload.tag, evicted.key, false, now);
    }
  }
  void outcome(std::uint64_t tag, const Place& place, bool used, Instant now) {
    method_.on_outcome(tag, place, used, now);
  }

  void finish() {
    // What is still unread at the end was fetched for nothing, as far as anybody can tell.
    report_.unused = std::max(report_.unused, report_.fetched - report_.used - report_.late);
    auto quantile = [this](double q) {
      if (waits_.empty()) return 0.0;
      auto at = waits_.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(waits_.size() - 1) * q);
      std::nth_element(waits_.begin(), at, waits_.end());
      return static_cast<double>(*at);
    };
    report_.p50_ms = quantile(0.5);
    report_.p99_ms = quantile(0.99);
  }

  const Trace& trace_;
  const SimulatorSettings& settings_;
  Method& method_;
  Policy cache_;
  Policy::EvictedList evicted_;
  std::unordered_map<Place, Load> loads_;
  using Arrival = std::pair<Instant, Place>;
  struct Sooner {
    bool operator()(const Arrival& a, const Arrival& b) const { return a.first > b.first; }
  };
  std::priority_queue<Arrival, std::vector<Arrival>, Sooner> arrivals_;
  prefetch::PrefetchQueue queue_{kQueueMax, kLaneMax};
  WantedList wanted_;
  std::vector<float> waits_;
  std::size_t done_ = 0;
  double tokens_ = 0;
  Instant refilled_;
  Report report_;
};

}  // namespace

double Report::precision() const {
  auto known = used + late + unused;
  return known == 0 ? 1 : static_cast<double>(used + late) / static_cast<double>(known);
}
double Report::stall_removed(const Report& none) const {
  return none.stall_seconds <= 0 ? 0 : 1 - stall_seconds / none.stall_seconds;
}
double Report::extra(const Report& none) const {
  if (none.demand == 0) return 0;
  return static_cast<double>(demand + fetched - none.demand) / static_cast<double>(none.demand);
}

Report simulate(const Trace& trace, const SimulatorSettings& settings, Method& method) {
  return Simulation(trace, settings, method).run();
}

}  // namespace forelog::predictor::replay
