#include "broker/prefetch/prefetcher.h"

#include "broker/base/log.h"
#include "broker/prefetch/plan_shape.h"

#include <algorithm>
#include <utility>

namespace forelog::prefetch {

namespace {

constexpr std::size_t kReadersMax = 65'536;
constexpr std::size_t kWishesMax = 4096;
constexpr std::size_t kOpenExtentsMax = 16'384;
constexpr int kLookers = 4;             // a slow index holds up one of them
constexpr Duration kBlockedLook = 5ms;  // room in the cache comes back without a word
constexpr Duration kIdleLook = 1s;
constexpr Duration kDropLateEvery = 1s;
constexpr Duration kReadAheadGrace = 2s;
constexpr Bytes kElsewhereMax = 4 * kExtentSizeMax;  // of one step of a chain on another core

bool waited_for_load(WaitCause cause) {
  return cause == WaitCause::archive || cause == WaitCause::joined || cause == WaitCause::tier;
}

// A read as plans see it: they name people as the access log names them to the predictor.
class Step {
 public:
  Step(const AccessEvent& event, const ReaderTracker::Seen& seen, const IdentityMask& mask)
      : principal_(mask.name(event.client->principal)),
        stem_(mask.name(client_stem(event.client->client_id))),
        step_{seen.reader, principal_, stem_, seen.groups, event.partition, touched(event), event.bytes.total()} {
    if (!mask.hides()) return;
    hidden_ = *seen.groups;
    for (auto& candidate : hidden_) candidate.group = GroupId{mask.name(candidate.group.value())};
    step_.groups = &hidden_;
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;
  const ReaderStep& get() const { return step_; }

 private:
  // From the first record given, which may lie before the one asked for: a batch is never split.
  static OffsetRange touched(const AccessEvent& event) {
    auto from = event.first == kNoOffset ? event.asked : std::min(event.first, event.asked);
    return {from, std::max(event.last, event.asked) + 1};
  }

  std::string principal_, stem_;
  std::vector<GroupCandidate> hidden_;
  ReaderStep step_;
};

PlanRunnerSettings runner_settings(const PrefetchSettings& s) {
  return {static_cast<std::size_t>(s.plans_max), s.plan_life_max, s.signal_bytes};
}

}  // namespace

Prefetcher::Prefetcher(Parts parts, const PrefetchSettings& settings, Bytes staging)
    : parts_(parts),
      clock_(parts.cores.clock()),
      settings_(settings),
      staging_(staging),
      metrics_(parts.metrics, parts.feed.core()),
      tracker_(parts.feed.core(), kReadersMax),
      read_aheads_({kExtentSizeMax, settings.read_ahead_max}, staging, kReadersMax),
      runner_(runner_settings(settings)),
      queue_(static_cast<std::size_t>(settings.queue_entries_max), static_cast<std::size_t>(settings.lane_entries_max)),
      heads_(static_cast<std::size_t>(settings.queue_entries_max), static_cast<std::size_t>(settings.lane_entries_max)),
      ledger_(kOpenExtentsMax),
      sources_(static_cast<std::size_t>(settings.starve_after)),
      byte_tokens_(settings.bytes_per_second),
      request_tokens_(settings.requests_per_second),
      notes_(parts.feed.core()),
      wished_(clock_),
      look_(std::make_shared<Event>(clock_)),
      tasks_(parts.cores) {}

Prefetcher::~Prefetcher() = default;

void Prefetcher::start() {
  for (int i = 0; i < kLookers; ++i) tasks_.spawn(look_up_loop());
  tasks_.spawn(pump_loop());
}

Task<void> Prefetcher::stop() {
  stopping_ = true;
  wished_.notify();
  look_->notify();
  co_await tasks_.join();
}

void Prefetcher::configure(const PrefetchSettings& settings, Bytes staging) {
  settings_ = settings;
  staging_ = staging;
  read_aheads_.configure({kExtentSizeMax, settings.read_ahead_max}, staging);
  runner_.configure(runner_settings(settings));
  sources_.configure(static_cast<std::size_t>(settings.starve_after));
  byte_tokens_.configure(settings.bytes_per_second);
  request_tokens_.configure(settings.requests_per_second);
}

// --- what readers and groups do --------------------------------------------------------------------------------------

ReaderTracker::Seen Prefetcher::see(const AccessEvent& event, Instant now) {
  auto seen = tracker_.on_access(event, now);
  if (seen.ended) close(*seen.ended);
  if (seen.announce) parts_.feed.add(*seen.announce);
  for (const auto& forgotten : tracker_.take_forgotten()) {
    close(forgotten.reader);
    read_aheads_.close(forgotten.stream);
  }
  return seen;
}

ReaderId Prefetcher::reader_at(const ClientPtr& client, const PartitionKey& partition, std::string_view topic,
                               Offset asked) {
  AccessEvent event;
  event.client = client;
  event.partition = partition;
  event.topic = topic;
  event.asked = asked;
  return see(event, clock_.now()).reader;
}

void Prefetcher::on_access(const AccessEvent& event) {
  auto now = clock_.now();
  auto seen = see(event, now);
  parts_.feed.add(seen.reader, event);
  if (event.cold()) drop_behind(event, seen.reader);
  auto bounds = parts_.shards.bounds(event.partition);
  if (!bounds || bounds->mode == PrefetchMode::off || event.last == kNoOffset) return;
  bool planned = bounds->mode == PrefetchMode::predict && runner_.plans() > 0;
  if (!planned) return read_ahead(event, seen, *bounds, bounds->archived_end, now);
  Step step(event, seen, parts_.feed.mask());
  // Windows stop where a plan knows that the reader will.
  auto end = runner_.end_of(step.get()).value_or(bounds->archived_end);
  read_ahead(event, seen, *bounds, std::min(end, bounds->archived_end), now);
  run_plans(step.get(), seen, now);
}

void Prefetcher::on_miss(const AccessEvent& event) {
  auto now = clock_.now();
  auto seen = see(event, now);
  auto bounds = parts_.shards.bounds(event.partition);
  if (!bounds || bounds->mode == PrefetchMode::off || event.asked >= bounds->archived_end) return;
  auto end = bounds->archived_end;
  if (bounds->mode == PrefetchMode::predict && runner_.plans() > 0) {
    Step step(event, seen, parts_.feed.mask());
    end = std::min(end, runner_.end_of(step.get()).value_or(end));
    run_plans(step.get(), seen, now);
  }
  auto named = read_aheads_.on_miss(seen.stream, event.asked.value(), now, latency_.high(), end.value());
  load_ahead(event.partition, seen, named, now);
}

// The block that the reader stands in stays: mostly it goes on in the middle of it.
void Prefetcher::drop_behind(const AccessEvent& event, ReaderId reader) {
  if (event.first_block < 0) return;
  auto first = static_cast<std::uint32_t>(event.first_block), last = static_cast<std::uint32_t>(event.last_block);
  Extent now_at{event.shard, first, std::max(first, last) - first + 1};
  auto [before, is_new] = standing_.try_emplace(reader, now_at);
  if (is_new) return;
  auto passed = std::exchange(before->second, now_at);
  if (passed.shard == now_at.shard) passed.count = std::min(passed.end(), std::max(passed.first, first)) - passed.first;
  bool for_others =
      runner_.expected_readers(event.plan) > 1 ||
      tracker_.others_behind(event.partition, reader, event.first == kNoOffset ? event.asked : event.first);
  if (!for_others) parts_.cache.drop_behind(passed, reader);
}

void Prefetcher::read_ahead(const AccessEvent& event, const ReaderTracker::Seen& seen, const PartitionBounds& bounds,
                            Offset end, Instant now) {
  if (!event.cold() || event.asked >= bounds.archived_end || event.last < event.asked) return;
  SeenRead read{event.asked.value(), event.last.value() + 1, event.bytes.total(),
                waited_for_load(event.wait_cause) ? event.wait : Duration{}};
  auto named = read_aheads_.on_read(seen.stream, read, now, latency_.high(), end.value());
  load_ahead(event.partition, seen, named, now);
}

void Prefetcher::load_ahead(const PartitionKey& partition, const ReaderTracker::Seen& seen,
                            const std::vector<Ahead>& named, Instant now) {
  for (const auto& ahead : named) {
    LoadRequest request;
    request.partition = partition;
    request.range = OffsetRange{Offset{ahead.from}, Offset{ahead.to}};
    request.bytes_max = ahead.bytes + kExtentSizeMax;
    request.cause = {kNoPlan, ahead.strided ? Reason::strided : Reason::sequential, ahead.score, now, clock_.wall(),
                     {}};
    request.needed_by = ahead.needed_by;
    request.worthless_after = ahead.needed_by + kReadAheadGrace;
    request.reader = seen.reader;
    request.whole_extents = ahead.goes_on;
    streams_[seen.reader] = seen.stream;
    wish(std::move(request));
  }
}

void Prefetcher::run_plans(const ReaderStep& step, const ReaderTracker::Seen& seen, Instant now) {
  for (auto& request : runner_.on_reader(step, now)) {
    if (request.reader == seen.reader) streams_[seen.reader] = seen.stream;
    wish(std::move(request));
  }
}

void Prefetcher::on_disconnect(ConnectionId connection) {
  for (const auto& ended : tracker_.on_disconnect(connection)) {
    close(ended.reader);
    read_aheads_.close(ended.stream);
  }
}

void Prefetcher::close(ReaderId reader) {
  parts_.feed.close(reader);
  runner_.on_reader_closed(reader);
  standing_.erase(reader);
  if (streams_.erase(reader) == 0) return;
  for (const auto& extent : ledger_.open_for(reader)) parts_.cache.drop_behind(extent, reader);
  auto for_it_alone = [reader](const QueuedExtent& entry) { return entry.reader == reader; };
  for (const auto& entry : queue_.remove_if(for_it_alone)) refuse(entry, Refusal::expired);
}

void Prefetcher::on_local_drop(const PartitionKey& partition, OffsetRange dropped) {
  auto bounds = parts_.shards.bounds(partition);
  if (!bounds || bounds->mode == PrefetchMode::off) return;
  for (auto& request : runner_.on_local_drop(partition, dropped, clock_.now())) wish(std::move(request));
}

void Prefetcher::on_group_event(const GroupEvent& event) {
  auto now = clock_.now();
  tracker_.on_group_event(event, now);
  for (auto& request : runner_.on_group(event, now)) {
    auto bounds = parts_.shards.bounds(request.partition);
    if (bounds && bounds->mode != PrefetchMode::off) wish(std::move(request));
  }
}

// --- plans -----------------------------------------------------------------------------------------------------------

bool Prefetcher::allows(const PartitionBounds& bounds, Reason reason) const {
  if (bounds.mode == PrefetchMode::predict) return true;
  return bounds.mode == PrefetchMode::read_ahead && (is_builtin(reason) || reason == Reason::announced);
}

PlanAnswer Prefetcher::offer(Plan plan) {
  auto now = clock_.now();
  auto wall = clock_.wall();
  auto decide = [&]() -> PlanAnswer {
    auto refused = [&](Refusal why, std::string detail = {}) {
      return PlanAnswer{plan.id, why, std::move(detail), std::nullopt};
    };
    if (stopping_) return refused(Refusal::stopping);
    if (auto wrong = malformed(plan)) return refused(Refusal::malformed, *wrong);
    auto homes = homes_of(plan);
    std::optional<PartitionBounds> home;
    for (const auto& key : homes) {
      auto bounds = parts_.shards.bounds(key);
      bool better = bounds && (!home || bounds->mode == PrefetchMode::predict);
      if (better) home = bounds;
    }
    if (!home) {
      auto answer = refused(Refusal::unknown_partition, homes.front().text());
      answer.owner = parts_.shards.owner(homes.front());
      return answer;
    }
    if (!allows(*home, plan.reason)) return refused(Refusal::disabled, "prefetch.mode");
    if (!sources_.admit(plan.reason)) return refused(Refusal::starved, std::string(name_of(plan.reason)));
    return runner_.offer(plan, now, wall);
  };
  auto answer = decide();
  ++*metrics_.answers[static_cast<std::size_t>(answer.refusal)];
  notes_.offered(plan, answer, wall);
  if (answer.accepted()) look_->notify();
  return answer;
}

void Prefetcher::load(LoadRequest request) { wish(std::move(request)); }

// --- from offsets to blocks ------------------------------------------------------------------------------------------

void Prefetcher::wish(LoadRequest request) {
  if (wishes_.size() >= kWishesMax) {
    ++metrics_.wishes_dropped;
    return;
  }
  wishes_.push_back(std::move(request));
  wished_.notify();
}

Task<void> Prefetcher::look_up_loop() {
  while (!stopping_) {
    if (wishes_.empty()) {
      auto deadline = clock_.now() + kIdleLook;
      co_await wished_.wait(deadline);
      continue;
    }
    auto request = std::move(wishes_.front());
    wishes_.pop_front();
    co_await look_up(std::move(request));
  }
}

Task<void> Prefetcher::look_up(LoadRequest request) {
  auto bounds = parts_.shards.bounds(request.partition);
  bool of_plan = request.cause.plan != kNoPlan;
  if (!bounds && of_plan && elsewhere_ && !request.prepaid) {
    request.bytes_max = std::min({request.bytes_max, runner_.remaining(request.cause.plan), kElsewhereMax});
    if (request.bytes_max <= 0) co_return refuse(request, Refusal::over_budget);
    runner_.charge(request.cause.plan, request.bytes_max);
    request.prepaid = true;
    co_return elsewhere_(std::move(request));
  }
  if (!bounds) co_return refuse(request, Refusal::unknown_partition);
  if (!allows(*bounds, request.cause.reason)) co_return refuse(request, Refusal::disabled);
  // Plans passed this gate when they were offered.
  if (!of_plan && !sources_.admit(request.cause.reason)) co_return refuse(request, Refusal::starved);

  if (auto* times = std::get_if<TimeRange>(&request.range)) {
    auto found = co_await parts_.shards.offsets_at(request.partition, *times);
    if (!found) co_return refuse(request, Refusal::load_failed);
    request.range = *found;
    bounds = parts_.shards.bounds(request.partition);
    if (!bounds) co_return refuse(request, Refusal::unknown_partition);
  }
  auto offsets = std::get<OffsetRange>(request.range);
  offsets.from = std::max(offsets.from, bounds->start);
  offsets.to = std::min(offsets.to, bounds->archived_end);
  if (offsets.from >= offsets.to) co_return;
  bool charged_here = of_plan && !request.prepaid;
  auto left = charged_here ? std::min(request.bytes_max, runner_.remaining(request.cause.plan)) : request.bytes_max;
  if (left <= 0) co_return refuse(request, Refusal::over_budget);

  auto runs = co_await blocks_of(request, offsets, bounds->archived_end, left);
  if (stopping_) co_return;
  if (!runs) co_return refuse(request, Refusal::load_failed);
  if (charged_here) left = std::min(left, runner_.remaining(request.cause.plan));
  auto before = left;
  for (const auto& run : *runs) queue_up(request, run, left);
  if (charged_here && left < before) runner_.charge(request.cause.plan, before - left);
  look_->notify();
}

// `request` outlives the call: it lives in the caller's frame.
Task<Result<std::vector<Extent>>> Prefetcher::blocks_of(const LoadRequest& request, OffsetRange offsets, Offset end,
                                                        Bytes bytes_max) {
  auto runs = co_await parts_.shards.resolve(request.partition, offsets, bytes_max);
  if (!runs || runs->empty() || !request.whole_extents || offsets.to >= end) co_return runs;
  auto last = runs->back();
  auto missing = (kExtentBlocksMax - last.end() % kExtentBlocksMax) % kExtentBlocksMax;
  if (missing == 0) co_return runs;
  OffsetRange beyond{offsets.to, end};
  auto more = co_await parts_.shards.resolve(request.partition, beyond, static_cast<Bytes>(missing + 1) * kBlockSize);
  if (!more || more->empty()) co_return runs;
  const auto& next = more->front();
  bool continues = next.shard == last.shard && next.first <= last.end() && next.end() > last.end();
  if (continues) runs->back().count = std::min(next.end(), last.end() + missing) - last.first;
  co_return runs;
}

// Offers those blocks of `run` that are neither cached nor on their way, as far as `left` reaches. What is cached is
// kept; where there is no room for that yet it waits its turn like the others, or it would be gone when it is wanted.
void Prefetcher::queue_up(const LoadRequest& request, Extent run, Bytes& left) {
  auto& queue = request.keep_until ? heads_ : queue_;
  cache::LoadCause expected{.kind = request.keep_until ? cache::LoadKind::head : cache::LoadKind::prefetch,
                            .reader = request.reader,
                            .keep_until = request.keep_until.value_or(Instant{})};
  auto offer = [&](std::uint32_t first, std::uint32_t end) {
    if (first == end) return;
    QueuedExtent entry{{run.shard, first, end - first}, request.cause,  request.readers,   request.needed_by,
                       request.worthless_after,         request.reader, request.keep_until};
    for (const auto& dropped : queue.offer(std::move(entry))) refuse(dropped, Refusal::overloaded);
  };
  auto first = run.first;
  for (auto block = run.first; block < run.end(); ++block) {
    BlockId id{run.shard, block};
    bool here = parts_.cache.in_flight(id) || parts_.cache.expect(id, expected) == cache::Presence::kept;
    if (here || left <= 0) {
      offer(first, block);
      first = block + 1;
      if (left <= 0) return;
    } else {
      left -= kBlockSize;
    }
  }
  if (first < run.end()) offer(first, run.end());
}

// --- loading ---------------------------------------------------------------------------------------------------------

Task<void> Prefetcher::pump_loop() {
  while (!stopping_) {
    pump();
    auto deadline = next_look(clock_.now());
    co_await look_->wait(deadline);
  }
}

void Prefetcher::pump() {
  auto now = clock_.now();
  for (auto& request : runner_.tick(now, clock_.wall())) wish(std::move(request));
  pump(heads_, cache::LoadKind::head, now);
  pump(queue_, cache::LoadKind::prefetch, now);
  drop_late(now);
  refresh_gauges(now);
}

// What waits behind a budget or a full cache is not looked at until there is room, which may take for ever.
void Prefetcher::drop_late(Instant now) {
  if (now < drop_late_at_) return;
  drop_late_at_ = now + kDropLateEvery;
  auto is_late = [now](const QueuedExtent& entry) { return entry.worthless_after < now; };
  for (auto* queue : {&heads_, &queue_}) {
    for (const auto& entry : queue->remove_if(is_late)) refuse(entry, Refusal::expired);
  }
}

void Prefetcher::pump(PrefetchQueue& queue, cache::LoadKind kind, Instant now) {
  std::vector<QueuedExtent> late;
  for (auto next = queue.next(); next && may_start(*next, kind, now); next = queue.next()) {
    auto entry = queue.pop(now, late);
    if (!entry) break;
    start_load(*entry, kind, now);
  }
  for (const auto& entry : late) refuse(entry, Refusal::expired);
}

bool Prefetcher::may_start(const PrefetchQueue::Next& next, cache::LoadKind kind, Instant now) {
  if (!byte_tokens_.has_any(now) || !request_tokens_.has_any(now)) return false;
  if (in_flight_bytes() >= settings_.in_flight_max) return false;
  auto room = parts_.cache.prefetch_room(kind);
  auto staging = kind == cache::LoadKind::head ? 0 : staging_;  // heads are for later
  auto needed = PrefetchQueue::room_for(next, staging, parts_.cache.capacity(), latency_.high(), now);
  return room.loads > 0 && room.bytes >= needed;
}

void Prefetcher::start_load(const QueuedExtent& entry, cache::LoadKind kind, Instant now) {
  std::vector<OutcomeEvent> ended;
  auto tag = ledger_.open(entry, ended);
  for (const auto& event : ended) settle(event);
  auto for_whom = entry.readers > 1 ? kNoReader : entry.reader;
  cache::LoadCause cause{kind, entry.cause.plan, for_whom, tag, now, entry.keep_until.value_or(Instant{})};
  auto start = parts_.cache.start_load(entry.extent, cause);
  if (auto event = ledger_.expect(tag, start.started + start.refused)) settle(*event);
  if (start.started == 0) return;
  auto bytes = static_cast<Bytes>(start.started) * kBlockSize;
  byte_tokens_.take(bytes);
  request_tokens_.take(1);
  ++metrics_.requests;
  metrics_.requested_bytes.add(bytes);
  for (auto i = entry.extent.count; i-- > 0;) {
    if (!parts_.cache.subscribe(entry.extent.at(i), look_)) continue;
    in_flight_.push_back(entry.extent);
    break;
  }
}

Bytes Prefetcher::in_flight_bytes() {
  auto has_landed = [this](const Extent& extent) {
    for (std::uint32_t i = 0; i < extent.count; ++i) {
      if (parts_.cache.in_flight(extent.at(extent.count - 1 - i))) return false;
    }
    return true;
  };
  std::erase_if(in_flight_, has_landed);
  Bytes sum = 0;
  for (const auto& extent : in_flight_) sum += static_cast<Bytes>(extent.count) * kBlockSize;
  return sum;
}

Instant Prefetcher::next_look(Instant now) {
  auto next = now + kIdleLook;
  if (auto due = runner_.next_due(now, clock_.wall())) next = std::min(next, *due);
  if (queue_.size() + heads_.size() > 0) {
    auto tokens = std::max(byte_tokens_.next(now), request_tokens_.next(now));
    next = std::min(next, std::max(tokens, now + kBlockedLook));
  }
  return std::max(next, now + 1ms);
}

// --- what became of it -----------------------------------------------------------------------------------------------

void Prefetcher::on_outcome(const cache::PrefetchOutcome& outcome) {
  if (outcome.in_memory > outcome.started && outcome.started != Instant{})
    latency_.note(outcome.in_memory - outcome.started);
  if (auto event = ledger_.note(outcome)) settle(*event);
  look_->notify();
}

void Prefetcher::refuse(const LoadRequest& request, Refusal why) {
  OutcomeEvent event;
  event.cause = request.cause;
  event.extent = {{request.partition, Offset{0}, Generation{0}}, 0, 0};
  event.refusal = why;
  event.reader = request.reader;
  settle(event);
}

void Prefetcher::settle(const OutcomeEvent& event) {
  auto now = clock_.now();
  metrics_.note(event);
  notes_.ended(event, clock_.wall());
  parts_.feed.add(event);
  if (event.outcome == OutcomeKind::refused) return;
  sources_.note(event.cause.reason, event.outcome != OutcomeKind::unused);
  waste_.note(now, 0, event.bytes - event.used_bytes);
  bool of_window = event.cause.reason == Reason::sequential || event.cause.reason == Reason::strided;
  auto stream = streams_.find(event.reader);
  if (event.outcome == OutcomeKind::unused && of_window && stream != streams_.end())
    read_aheads_.on_waste(stream->second);
}

void Prefetcher::refresh_gauges(Instant now) {
  Bytes loaded = 0;
  for (const auto& counter : parts_.cache.metrics().load_bytes) loaded += counter->value();
  waste_.note(now, loaded - std::exchange(archive_bytes_seen_, loaded), 0);
  metrics_.waste_permille.set(static_cast<std::int64_t>(1000 * waste_.share(now)));
  metrics_.queue_extents.set(static_cast<std::int64_t>(queue_.size() + heads_.size()));
  metrics_.queue_bytes.set(queue_.bytes() + heads_.bytes());
  metrics_.plans.set(static_cast<std::int64_t>(runner_.plans()));
  metrics_.readers.set(static_cast<std::int64_t>(tracker_.size()));
  metrics_.in_flight_bytes.set(in_flight_bytes());
  metrics_.byte_tokens.set(byte_tokens_.tokens());
  metrics_.request_tokens.set(request_tokens_.tokens());
  metrics_.load_latency_us.set(to_us(latency_.high()));
}

}  // namespace forelog::prefetch
