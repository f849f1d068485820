#include "broker/prefetch/plan_runner.h"

#include "broker/base/check.h"
#include "broker/prefetch/plan_shape.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace forelog::prefetch {

namespace {

constexpr Duration kLead = 5s;           // ranges wanted later than this wait, so that they do not age in the cache
constexpr Duration kGrace = 5s;          // how long a range may still be worth loading after it was wanted
constexpr Duration kSignalMemory = 60s;  // tools ask for the same offsets again and again
constexpr std::size_t kSignalsMax = 8192;
constexpr Duration kCommitMemory = 120s;  // a group that has not committed for so long is not reading
constexpr std::size_t kCommitsMax = 16'384;
constexpr Duration kSweepEvery = 1s;  // of a full table: a look at all of it for each offset would hold up the core
constexpr std::int64_t kReadsPastEnd = 4;      // of a reader that goes on where it was to stop
constexpr std::size_t kFollowsMax = 64;        // of one partition: each is looked at with every read
constexpr std::size_t kRangesMax = 131'072;    // of all plans together, some 500 bytes each
constexpr std::size_t kTriggersSeenMax = 256;  // of one read
constexpr std::size_t kReadersMax = 1024;      // of one follow
constexpr double kSureScore = 0.5;             // from here on a follow is believed to know where its reader stops
constexpr double kGroupConfidence = 0.5;       // from here on a candidate group counts as the reader's
constexpr Offset kEndOfLog{std::numeric_limits<std::int64_t>::max()};

}  // namespace

bool matches(const ReaderClass& wanted, const ReaderStep& step) {
  if (wanted.reader && *wanted.reader != step.reader) return false;
  if (wanted.principal && *wanted.principal != step.principal) return false;
  if (wanted.client_stem && *wanted.client_stem != step.client_stem) return false;
  if (!wanted.group) return true;
  auto is_wanted = [&](const GroupCandidate& c) {
    return c.group == *wanted.group && c.confidence >= kGroupConfidence;
  };
  return step.groups != nullptr && std::ranges::any_of(*step.groups, is_wanted);
}

// --- plans come and go -----------------------------------------------------------------------------------------------

PlanAnswer PlanRunner::offer(Plan plan, Instant now, WallTime wall) {
  auto refuse = [&](Refusal why, std::string detail) {
    return PlanAnswer{plan.id, why, std::move(detail), std::nullopt};
  };
  if (auto wrong = malformed(plan)) return refuse(Refusal::malformed, *wrong);
  if (plans_.contains(plan.id)) return refuse(Refusal::duplicate, {});
  drop_expired(now);

  auto life_end = now + settings_.plan_life_max;
  if (const auto* schedule = std::get_if<SchedulePlan>(&plan.body)) {
    if (schedule->keep_until <= wall) return refuse(Refusal::expired, "schedule.keep_until_wall_ms");
    if (schedule->expected - wall > settings_.plan_life_max)
      return refuse(Refusal::malformed, "schedule.expected_wall_ms");
    plan.expires = std::min<Instant>(now + (schedule->keep_until - wall), life_end);
  } else {
    if (plan.expires <= now) return refuse(Refusal::expired, "expires_in_ms");
    plan.expires = std::min(plan.expires, life_end);
  }
  if (const auto* follow = std::get_if<FollowPlan>(&plan.body)) {
    auto there = follows_.find(follow->partition);
    if (there != follows_.end() && there->second.size() >= kFollowsMax) return refuse(Refusal::overloaded, "follows");
  }
  if (!make_room(plan.score, ranges_of(plan))) return refuse(Refusal::overloaded, "plans");

  auto id = plan.id;
  auto& held = plans_.emplace(id, Held{}).first->second;
  held.plan = std::move(plan);
  held.expires = held.plan.expires;
  ranges_ += ranges_of(held.plan);
  by_score_.insert({held.plan.score, id});
  expiries_.insert({held.expires, id});
  begin(held, now);
  return {id, Refusal::none, {}, std::nullopt};
}

bool PlanRunner::make_room(Score score, std::size_t ranges) {
  while (plans_.size() >= settings_.plans_max || ranges_ + ranges > kRangesMax) {
    auto [lowest, id] = *by_score_.begin();
    if (lowest >= score) return false;
    erase(id);
  }
  return true;
}

void PlanRunner::begin(Held& held, Instant now) {
  const auto& plan = held.plan;
  if (const auto* warm = std::get_if<WarmPlan>(&plan.body)) {
    for (const auto& hint : warm->hints)
      schedule(std::max(now, warm->needed_by - kLead), plan.id, request(held, hint, warm->needed_by));
  } else if (const auto* follow = std::get_if<FollowPlan>(&plan.body)) {
    follows_[follow->partition].insert(plan.id);
  } else if (const auto* chain = std::get_if<ChainPlan>(&plan.body)) {
    auto& triggers = chains_[chain->partition];
    triggers.by_start.insert({chain->trigger.from, plan.id});
    triggers.longest = std::max(triggers.longest, chain->trigger.to - chain->trigger.from);
    held.fires_left = chain->fires_max;
  } else if (const auto* session = std::get_if<SchedulePlan>(&plan.body)) {
    sessions_.insert(
        {session->expected - session->jitter - std::chrono::duration_cast<std::chrono::milliseconds>(kLead), plan.id});
  }
}

void PlanRunner::erase(PlanId id) {
  auto found = plans_.find(id);
  CHECK(found != plans_.end());
  auto& held = found->second;
  const auto& plan = held.plan;
  ranges_ -= ranges_of(plan);
  by_score_.erase({plan.score, id});
  expiries_.erase({held.expires, id});
  if (const auto* follow = std::get_if<FollowPlan>(&plan.body)) {
    auto there = follows_.find(follow->partition);
    there->second.erase(id);
    if (there->second.empty()) follows_.erase(there);
  } else if (const auto* chain = std::get_if<ChainPlan>(&plan.body)) {
    disarm(*chain, id);
  } else if (const auto* session = std::get_if<SchedulePlan>(&plan.body)) {
    sessions_.erase(
        {session->expected - session->jitter - std::chrono::duration_cast<std::chrono::milliseconds>(kLead), id});
  }
  if (held.loads_waiting > 0) std::erase_if(due_, [id](const auto& entry) { return entry.second.plan == id; });
  plans_.erase(found);
}

void PlanRunner::disarm(const ChainPlan& chain, PlanId id) {
  auto there = chains_.find(chain.partition);
  if (there == chains_.end()) return;
  there->second.by_start.erase({chain.trigger.from, id});
  if (there->second.by_start.empty()) chains_.erase(there);
}

void PlanRunner::drop_expired(Instant now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) erase(expiries_.begin()->second);
}

void PlanRunner::charge(PlanId plan, Bytes bytes) {
  auto found = plans_.find(plan);
  if (found == plans_.end()) return;
  found->second.spent += bytes;
  if (found->second.spent >= found->second.plan.byte_budget) erase(plan);
}

std::int32_t PlanRunner::expected_readers(PlanId plan) const {
  auto found = plans_.find(plan);
  return found == plans_.end() ? 0 : found->second.plan.expected_readers;
}

Bytes PlanRunner::remaining(PlanId plan) const {
  auto found = plans_.find(plan);
  return found == plans_.end() ? 0 : found->second.plan.byte_budget - found->second.spent;
}

// --- what to load ----------------------------------------------------------------------------------------------------

LoadRequest PlanRunner::request(const Held& held, const Hint& hint, Instant needed_by) const {
  const auto& plan = held.plan;
  LoadRequest out;
  out.partition = hint.partition;
  out.range = hint.range;
  out.bytes_max = plan.byte_budget - held.spent;
  out.cause = {plan.id, plan.reason, std::min(hint.score, plan.score), plan.received, plan.decided, plan.model_version};
  out.readers = std::max(hint.expected_readers, plan.expected_readers);
  out.needed_by = needed_by;
  out.worthless_after = needed_by + kGrace;
  return out;
}

void PlanRunner::schedule(Instant at, PlanId plan, LoadRequest load) {
  due_.emplace(at, Due{std::move(load), plan});
  ++plans_.at(plan).loads_waiting;
}

std::vector<LoadRequest> PlanRunner::on_reader(const ReaderStep& step, Instant now) {
  drop_expired(now);
  std::vector<LoadRequest> out;
  if (auto there = follows_.find(step.partition); there != follows_.end()) {
    for (auto id : there->second) {
      auto& held = plans_.at(id);
      if (!matches(std::get<FollowPlan>(held.plan.body).reader, step)) continue;
      if (auto load = follow(held, step, now)) out.push_back(std::move(*load));
    }
  }
  auto there = chains_.find(step.partition);
  if (there == chains_.end()) return out;
  // Triggers that begin before the read ends, and not so long before that none of them could reach it.
  const auto& triggers = there->second;
  auto touched_end = std::max(step.touched.to, step.touched.from + 1);
  auto at = triggers.by_start.lower_bound(
      {Offset{std::max<std::int64_t>(0, step.touched.from.value() - triggers.longest)}, PlanId{0}});
  std::vector<PlanId> firing;
  for (std::size_t seen = 0; at != triggers.by_start.end() && at->first < touched_end && seen < kTriggersSeenMax;
       ++at, ++seen) {
    const auto& held = plans_.at(at->second);
    const auto& chain = std::get<ChainPlan>(held.plan.body);
    if (chain.trigger.to <= step.touched.from || held.fired_for.contains(step.reader)) continue;
    if (held.fires_left > 0 && matches(chain.reader, step)) firing.push_back(at->second);
  }
  for (auto id : firing) fire(plans_.at(id), step, now, out);
  return out;
}

std::optional<LoadRequest> PlanRunner::follow(Held& held, const ReaderStep& step, Instant now) {
  const auto& plan = std::get<FollowPlan>(held.plan.body);
  auto position = std::max(step.touched.to, step.touched.from);
  auto end = plan.until.value_or(kEndOfLog);
  if (position >= end || position < plan.from) return std::nullopt;
  // A read that found nothing tells nothing of how large records are.
  if (step.bytes > 0) {
    auto offsets = std::max<std::int64_t>(1, step.touched.to - step.touched.from);
    held.bytes_per_offset = std::max(1.0, static_cast<double>(step.bytes) / static_cast<double>(offsets));
  }
  if (held.bytes_per_offset == 0) return std::nullopt;
  auto bytes_per_offset = held.bytes_per_offset;
  if (held.named_until.size() >= kReadersMax && !held.named_until.contains(step.reader))
    held.named_until.erase(held.named_until.begin());
  auto [named, is_first] = held.named_until.try_emplace(step.reader, position);
  auto from = std::max(named->second, position);

  auto ahead = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(plan.ahead) / bytes_per_offset));
  auto goal = end - position < ahead ? end : position + ahead;
  if (from >= goal) return std::nullopt;  // who went back a long way is given nothing twice
  auto bytes = static_cast<double>(goal - from) * bytes_per_offset;
  auto worth = static_cast<double>(std::min<Bytes>(kExtentSizeMax, plan.ahead / 2));
  bool worth_a_request = is_first || goal == end || bytes >= worth;
  if (!worth_a_request) return std::nullopt;

  named->second = goal;
  auto distance = static_cast<double>(from - position) * bytes_per_offset;
  constexpr double kAssumedRate = 100e6;  // bytes a second, of a reader that nobody has timed
  auto needed_by = now + Duration(static_cast<std::int64_t>(std::min(distance / kAssumedRate, 60.0) * 1e9));
  Hint hint{plan.partition, OffsetRange{from, goal}, held.plan.score, held.plan.expected_readers};
  auto load = request(held, hint, needed_by);
  load.reader = step.reader;
  return load;
}

std::optional<Offset> PlanRunner::end_of(const ReaderStep& step) const {
  auto there = follows_.find(step.partition);
  if (there == follows_.end()) return std::nullopt;
  std::optional<Offset> end;
  for (auto id : there->second) {
    const auto& held = plans_.at(id);
    const auto& plan = std::get<FollowPlan>(held.plan.body);
    if (!plan.until || held.plan.score < kSureScore || step.touched.from < plan.from) continue;
    auto length = std::max<std::int64_t>(1, step.touched.to - step.touched.from);
    bool is_near = step.touched.from < *plan.until || step.touched.from - *plan.until < kReadsPastEnd * length;
    if (!is_near || !matches(plan.reader, step)) continue;
    end = std::max(end, step.touched.to > *plan.until ? std::optional(step.touched.to + length) : plan.until);
  }
  return end;
}

void PlanRunner::fire(Held& held, const ReaderStep& step, Instant now, std::vector<LoadRequest>& out) {
  const auto& chain = std::get<ChainPlan>(held.plan.body);
  held.fired_for.insert(step.reader);
  if (--held.fires_left == 0) disarm(chain, held.plan.id);
  for (const auto& next : chain.steps) {
    auto load = request(held, next.hint, now + next.gap);
    if (next.gap > kLead) {
      // Each reader that fires a chain has its own.
      if (due_.size() < kRangesMax) schedule(now + next.gap - kLead, held.plan.id, std::move(load));
    } else {
      out.push_back(std::move(load));
    }
  }
}

void PlanRunner::on_reader_closed(ReaderId reader) {
  for (auto& [partition, ids] : follows_) {
    for (auto id : ids) plans_.at(id).named_until.erase(reader);
  }
}

std::vector<LoadRequest> PlanRunner::tick(Instant now, WallTime wall) {
  drop_expired(now);
  std::vector<LoadRequest> out;
  while (!due_.empty() && due_.begin()->first <= now) {
    auto due = std::move(due_.extract(due_.begin()).mapped());
    --plans_.at(due.plan).loads_waiting;
    due.load.bytes_max = std::min(due.load.bytes_max, remaining(due.plan));
    out.push_back(std::move(due.load));
  }
  while (!sessions_.empty() && sessions_.begin()->first <= wall) {
    auto id = sessions_.begin()->second;
    sessions_.erase(sessions_.begin());
    const auto& held = plans_.at(id);
    const auto& session = std::get<SchedulePlan>(held.plan.body);
    auto in_time = now + std::max<Duration>(0s, session.expected - session.jitter - wall);
    for (const auto& head : session.heads) {
      auto load = request(held, head, in_time);
      load.keep_until = now + (session.keep_until - wall);
      load.worthless_after = *load.keep_until;
      out.push_back(std::move(load));
    }
  }
  return out;
}

std::optional<Instant> PlanRunner::next_due(Instant now, WallTime wall) const {
  std::optional<Instant> next;
  auto consider = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
  if (!due_.empty()) consider(due_.begin()->first);
  if (!sessions_.empty()) consider(now + std::max<Duration>(0s, sessions_.begin()->first - wall));
  if (!expiries_.empty()) consider(expiries_.begin()->first);
  return next;
}

// --- signals of groups -----------------------------------------------------------------------------------------------

std::vector<LoadRequest> PlanRunner::on_group(const GroupEvent& event, Instant now) {
  struct Rule {
    Reason reason;
    Score score;
    Duration needed_in;
  };
  std::optional<Rule> rule;
  switch (event.kind) {
    // A new group waits for its members (group.initial.rebalance.delay.ms) before any of them fetches.
    case GroupEventKind::join:
      rule = {Reason::group_offsets, 0.6, 1s};
      break;
    case GroupEventKind::offset_fetch:
      rule = {Reason::group_offsets, 0.7, 100ms};
      break;
    case GroupEventKind::reset:
      rule = {Reason::offset_reset, 0.5, 2s};
      break;
    case GroupEventKind::list_offsets:
      rule = {Reason::list_offsets, 0.5, 100ms};
      break;
    case GroupEventKind::commit:
      note_commit(event, now);
      break;
    case GroupEventKind::sync:
    case GroupEventKind::leave:
    case GroupEventKind::find_coordinator:
      break;
  }
  std::vector<LoadRequest> out;
  if (!rule || settings_.signal_bytes <= 0) return out;
  for (const auto& named : event.offsets) {
    bool by_time = named.offset == kNoOffset && named.timestamp >= 0;
    if (!by_time && (named.offset.value() < 0 || named.offset == kEndOfLog)) continue;  // there is nothing behind it
    if (!by_time && !is_news(named, now)) continue;
    LoadRequest load;
    load.partition = named.partition;
    if (by_time) {
      load.range = TimeRange{from_ms(named.timestamp), WallTime::max()};
    } else {
      load.range = OffsetRange{named.offset, kEndOfLog};
    }
    load.bytes_max = settings_.signal_bytes;
    load.cause = {kNoPlan, rule->reason, rule->score, now, {}, {}};
    load.needed_by = now + rule->needed_in;
    load.worthless_after = load.needed_by + kGrace;
    out.push_back(std::move(load));
  }
  return out;
}

// Whether nobody named this offset lately: monitors ask for a group's offsets every few seconds and never read.
bool PlanRunner::is_news(const GroupOffset& named, Instant now) {
  if (signals_.size() >= kSignalsMax && now - signals_swept_ >= kSweepEvery) {
    signals_swept_ = now;
    std::erase_if(signals_, [&](const auto& s) { return now - s.second > kSignalMemory; });
  }
  auto known = signals_.find({named.partition, named.offset});
  bool is_known = known != signals_.end();
  if (is_known ? now - known->second <= kSignalMemory : signals_.size() >= kSignalsMax) return false;
  signals_.insert_or_assign({named.partition, named.offset}, now);
  return true;
}

void PlanRunner::note_commit(const GroupEvent& event, Instant now) {
  if (commits_known_ + event.offsets.size() > kCommitsMax && now - commits_swept_ >= kSweepEvery) {
    commits_swept_ = now;
    commits_known_ = 0;
    for (auto at = commits_.begin(); at != commits_.end();) {
      std::erase_if(at->second, [now](const auto& known) { return now - known.second.at > kCommitMemory; });
      commits_known_ += at->second.size();
      at = at->second.empty() ? commits_.erase(at) : std::next(at);
    }
  }
  for (const auto& named : event.offsets) {
    if (named.offset.value() < 0) continue;
    auto there = commits_.find(named.partition);
    bool is_known = there != commits_.end() && there->second.contains(event.group);
    if (!is_known && commits_known_ >= kCommitsMax) continue;
    commits_[named.partition].insert_or_assign(event.group, Committed{named.offset, now});
    commits_known_ += is_known ? 0 : 1;
  }
}

std::vector<LoadRequest> PlanRunner::on_local_drop(const PartitionKey& partition, OffsetRange dropped, Instant now) {
  std::vector<LoadRequest> out;
  auto there = commits_.find(partition);
  if (there == commits_.end() || settings_.signal_bytes <= 0) return out;
  for (const auto& [group, committed] : there->second) {
    bool is_reading = now - committed.at <= kCommitMemory;
    bool needs_it = committed.next >= dropped.from && committed.next < dropped.to;
    if (!is_reading || !needs_it) continue;
    LoadRequest load;
    load.partition = partition;
    load.range = OffsetRange{committed.next, kEndOfLog};
    load.bytes_max = settings_.signal_bytes;
    load.cause = {kNoPlan, Reason::retention, 0.7, now, {}, {}};
    load.needed_by = now;
    load.worthless_after = now + kGrace;
    out.push_back(std::move(load));
  }
  return out;
}

}  // namespace forelog::prefetch
