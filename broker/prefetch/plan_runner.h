// plan_runner.h: plans and their triggers against what readers and groups do now: what to load next, without asking
// anybody.
//
// Pure: no I/O, no clock; the caller passes `now`. One per core, for the partitions that live there.
//
// Invariants: never more than `plans_max` plans, nor 131,072 ranges in them, the lowest score falls out; a plan lives
// until it expires, at most `plan_life_max`; what a plan has charged never exceeds its byte budget; a plan names each
// offset at most once for one reader.
#pragma once

#include "broker/prefetch/hint.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::prefetch {

// "Load this now." What the runner answers with; the caller turns ranges into blocks.
struct LoadRequest {
  PartitionKey partition;
  HintRange range;
  Bytes bytes_max = 0;  // of the plan's budget, or of a head
  Cause cause;
  std::int32_t readers = 1;
  Instant needed_by;
  Instant worthless_after;
  ReaderId reader{0};
  std::optional<Instant> keep_until;  // of heads of a session to come
  bool whole_extents = false;         // go on to the end of the last extent: one request later is saved
  bool prepaid = false;               // `bytes_max` is charged to the plan already, on another core
};

// A reader has taken `touched`, `bytes` long; or opened at `touched.from`, then `to` equals `from`.
struct ReaderStep {
  ReaderId reader{0};
  std::string_view principal;
  std::string_view client_stem;
  const std::vector<GroupCandidate>* groups = nullptr;
  PartitionKey partition;
  OffsetRange touched;
  Bytes bytes = 0;
};

struct PlanRunnerSettings {
  std::size_t plans_max = 8192;
  Duration plan_life_max = 24h;
  Bytes signal_bytes = 4_MiB;  // loaded at each offset that a group names; 0: signals are ignored
};

class PlanRunner {
 public:
  explicit PlanRunner(const PlanRunnerSettings& settings) : settings_(settings) {}

  // Takes the plan, or says why not: malformed, duplicate, expired, overloaded.
  PlanAnswer offer(Plan plan, Instant now, WallTime wall);

  std::vector<LoadRequest> on_reader(const ReaderStep& step, Instant now);
  // Where a plan that is fairly sure says that this reader will stop. Past that place it is given one more read of the
  // same size at a time, for a while: clients go on a little by themselves.
  std::optional<Offset> end_of(const ReaderStep& step) const;
  void on_reader_closed(ReaderId reader);
  // Signals 1 and 2: committed offsets of a group that forms, reads or sets them back; ListOffsets by time.
  std::vector<LoadRequest> on_group(const GroupEvent& event, Instant now);
  // Signal 3: these offsets have left the local disk. What groups that are reading need next of them.
  std::vector<LoadRequest> on_local_drop(const PartitionKey& partition, OffsetRange dropped, Instant now);
  // What has come due, and forgets what has expired. To be called at `next_due()`, or more often.
  std::vector<LoadRequest> tick(Instant now, WallTime wall);
  std::optional<Instant> next_due(Instant now, WallTime wall) const;

  // Bytes are being loaded for the plan; when its budget is spent it ends.
  void charge(PlanId plan, Bytes bytes);
  Bytes remaining(PlanId plan) const;  // 0 when the plan has ended
  std::int32_t expected_readers(PlanId plan) const;

  std::size_t plans() const { return plans_.size(); }
  void configure(const PlanRunnerSettings& settings) { settings_ = settings; }

 private:
  struct Held {
    Plan plan;
    Bytes spent = 0;
    std::int32_t fires_left = 0;             // of a chain
    std::set<ReaderId> fired_for;            // … each reader once
    std::map<ReaderId, Offset> named_until;  // of a follow
    double bytes_per_offset = 0;             // … as its readers last showed
    std::size_t loads_waiting = 0;           // in `due_`
    Instant expires;
  };
  using Plans = std::unordered_map<PlanId, Held>;
  struct Due {
    LoadRequest load;
    PlanId plan;
  };

  void begin(Held& held, Instant now);
  bool make_room(Score score, std::size_t ranges);
  void erase(PlanId id);
  void disarm(const ChainPlan& chain, PlanId id);
  void drop_expired(Instant now);
  void schedule(Instant at, PlanId plan, LoadRequest load);
  LoadRequest request(const Held& held, const Hint& hint, Instant needed_by) const;
  std::optional<LoadRequest> follow(Held& held, const ReaderStep& step, Instant now);
  void fire(Held& held, const ReaderStep& step, Instant now, std::vector<LoadRequest>& out);
  bool is_news(const GroupOffset& named, Instant now);
  void note_commit(const GroupEvent& event, Instant now);

  PlanRunnerSettings settings_;
  Plans plans_;
  std::size_t ranges_ = 0;  // that they name
  std::set<std::pair<Score, PlanId>> by_score_;
  std::set<std::pair<Instant, PlanId>> expiries_;
  std::multimap<Instant, Due> due_;                 // warm ranges and steps of chains that wait
  std::set<std::pair<WallTime, PlanId>> sessions_;  // schedules, by when to warm them
  std::map<PartitionKey, std::set<PlanId>> follows_;
  struct Triggers {
    std::set<std::pair<Offset, PlanId>> by_start;
    std::int64_t longest = 0;  // of all since the last time there were none
  };
  std::map<PartitionKey, Triggers> chains_;
  std::map<std::pair<PartitionKey, Offset>, Instant> signals_;  // heads named lately
  Instant signals_swept_{}, commits_swept_{};
  struct Committed {
    Offset next;
    Instant at;
  };
  std::map<PartitionKey, std::map<GroupId, Committed>> commits_;  // of groups that are reading
  std::size_t commits_known_ = 0;
};

bool matches(const ReaderClass& wanted, const ReaderStep& step);

}  // namespace forelog::prefetch
