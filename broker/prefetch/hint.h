// hint.h: the words of prefetching: ranges, hints, plans, extents, and the events that the broker observes.
//
// Plain values without behaviour; hint_service.thrift says the same to the outside and its comments hold here too.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/time.h"
#include "broker/cache/block.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forelog::prefetch {

using cache::PlanId;    // chosen by the predictor; zero: none
using cache::ReaderId;  // unique in a boot; zero: none
using ConnectionId = StrongType<struct ConnectionIdTag, std::int64_t>;
using Score = double;  // probability that it is read while it would still be in the cache, 0..1
inline constexpr PlanId kNoPlan{0};
inline constexpr ReaderId kNoReader{0};

enum class Reason : std::uint8_t {
  other,
  sequential,
  strided,
  group_offsets,
  list_offsets,
  offset_reset,
  run,
  stream,
  association,
  periodic,
  twin,
  announced,
  retention,
};
inline constexpr int kReasonCount = 13;
std::string_view name_of(Reason reason);
// Whether the reason is a rule of the broker's own, which needs no plan of anybody.
bool is_builtin(Reason reason);

enum class Refusal : std::uint8_t {
  none,
  malformed,
  unknown_partition,
  expired,
  overloaded,
  over_budget,
  disabled,
  starved,
  already_warm,
  duplicate,
  stopping,
  load_failed,
};
inline constexpr int kRefusalCount = 12;
std::string_view name_of(Refusal refusal);

// --- ranges --------------------------------------------------------------------------------------------------------

struct OffsetRange {  // [from, to)
  Offset from;
  Offset to;
  friend constexpr auto operator<=>(const OffsetRange&, const OffsetRange&) = default;
};
struct TimeRange {
  WallTime from;
  WallTime to;
  friend constexpr auto operator<=>(const TimeRange&, const TimeRange&) = default;
};
using HintRange = std::variant<OffsetRange, TimeRange>;

// A run of blocks of one shard, up to kExtentSizeMax, loaded by one GET.
using Extent = cache::BlockRange;
inline constexpr std::uint32_t kExtentBlocksMax = kExtentSizeMax / kBlockSize;

// --- hints and plans -----------------------------------------------------------------------------------------------

struct Hint {
  PartitionKey partition;
  HintRange range;
  Score score = 0;
  std::int32_t expected_readers = 1;
  friend bool operator==(const Hint&, const Hint&) = default;
};

// Which readers a plan means: all that is given must match; nothing given matches all.
struct ReaderClass {
  std::optional<std::string> principal;
  std::optional<std::string> client_stem;
  std::optional<GroupId> group;
  std::optional<ReaderId> reader;
  friend bool operator==(const ReaderClass&, const ReaderClass&) = default;
};

struct WarmPlan {
  std::vector<Hint> hints;
  Instant needed_by;
};
struct FollowPlan {
  ReaderClass reader;
  PartitionKey partition;
  Bytes ahead = 0;
  std::optional<Offset> until;  // exclusive; none: the end of the archived log
  Offset from{0};               // a reader before it has not come to this yet
};
struct ChainStep {
  Hint hint;
  Duration gap{};  // from the touch until this is wanted
};
struct ChainPlan {
  ReaderClass reader;
  PartitionKey partition;
  OffsetRange trigger;
  std::vector<ChainStep> steps;
  std::int32_t fires_max = 1;
};
struct SchedulePlan {
  std::vector<Hint> heads;
  WallTime expected;
  std::chrono::milliseconds jitter{};
  WallTime keep_until;
};
using PlanBody = std::variant<WarmPlan, FollowPlan, ChainPlan, SchedulePlan>;

inline constexpr Bytes kPlanBytesMax = 1_TiB;  // the largest budget that a plan may have

struct Plan {
  PlanId id;
  PlanBody body;
  Score score = 0;
  std::int32_t expected_readers = 1;
  Bytes byte_budget = 0;
  Reason reason = Reason::other;
  std::string model_version;
  Instant expires;  // of schedules: keep_until counts
  Instant received;
  WallTime decided;  // by the predictor's clock; for the record only
};

struct Owner {
  BrokerId broker{-1};
  std::string hint_endpoint;
};

// What became of an offer. With `owner` this broker does not serve the partition, and that one should be asked.
struct PlanAnswer {
  PlanId plan;
  Refusal refusal = Refusal::none;
  std::string detail;
  std::optional<Owner> owner;
  bool accepted() const { return refusal == Refusal::none && !owner; }
};

// --- what the broker observes --------------------------------------------------------------------------------------

// Who sits at the other end of a connection; made once a connection, shared by its events.
struct ClientInfo {
  ConnectionId connection;
  std::string client_id;
  std::string software_name;
  std::string software_version;
  std::string principal;
  std::string host;
  std::string rack;
};
using ClientPtr = std::shared_ptr<const ClientInfo>;

struct BytesByTier {
  Bytes tail = 0, local = 0, memory = 0, disk = 0, regional = 0, global = 0, archive = 0;
  Bytes total() const { return tail + local + memory + disk + regional + global + archive; }
};
enum class WaitCause : std::uint8_t { none, data, archive, joined, tier, budget };

// One partition's part of one Fetch, when it is answered. `shard` is without meaning when nothing was returned.
struct AccessEvent {
  ClientPtr client;
  PartitionKey partition;
  std::string_view topic;  // valid during the call
  Epoch leader_epoch = kNoEpoch;
  Offset asked;
  Offset first = kNoOffset;  // of the batches returned; kNoOffset: none
  Offset last = kNoOffset;   // inclusive
  std::int64_t first_timestamp = -1;
  std::int64_t last_timestamp = -1;
  Offset high_watermark;
  ShardId shard;
  std::int32_t first_block = -1;
  std::int32_t last_block = -1;
  std::int32_t partition_max_bytes = 0;
  std::int32_t max_bytes = 0;
  std::int32_t min_bytes = 0;
  std::int32_t max_wait_ms = 0;
  BytesByTier bytes;
  Duration wait{};  // for the bytes of this partition
  WaitCause wait_cause = WaitCause::none;
  PlanId plan = kNoPlan;  // that had loaded (some of) the bytes
  Reason reason = Reason::other;
  bool cold() const { return bytes.total() > bytes.tail + bytes.local; }  // some bytes came through the block cache
};

enum class Evidence : std::uint8_t { client_id, coordinator, assignment, first_offset, commits };
struct GroupCandidate {
  GroupId group;
  double confidence = 0;
  Evidence evidence = Evidence::client_id;
  friend bool operator==(const GroupCandidate&, const GroupCandidate&) = default;
};

enum class ReaderStart : std::uint8_t { first, seek, still_open };
struct ReaderEvent {
  ReaderId reader;
  ClientPtr client;
  PartitionKey partition;
  std::string topic;
  ReaderStart start = ReaderStart::first;
  Offset start_offset;
  Instant opened;
  std::vector<GroupCandidate> groups;
};

enum class GroupEventKind : std::uint8_t {
  join,
  sync,
  leave,
  offset_fetch,
  commit,
  reset,
  list_offsets,
  find_coordinator
};
struct GroupOffset {
  PartitionKey partition;
  Offset offset = kNoOffset;    // kNoOffset: none
  std::int64_t timestamp = -1;  // asked by list_offsets
};
struct GroupEvent {
  GroupEventKind kind = GroupEventKind::join;
  GroupId group;  // empty with list_offsets
  Generation generation{-1};
  MemberId member;
  std::string instance;
  ClientPtr client;
  std::vector<GroupOffset> offsets;  // join: all committed offsets of the group; sync: the assignment
};

using cache::OutcomeKind;

// Why an extent is loaded before anybody asked; travels with it from the plan to its outcome.
struct Cause {
  PlanId plan = kNoPlan;
  Reason reason = Reason::other;
  Score score = 0;
  Instant received;  // when the plan, or the event that triggered it, came in
  WallTime decided;
  std::string model_version;
};

struct OutcomeEvent {
  Cause cause;
  OutcomeKind outcome = OutcomeKind::refused;
  Refusal refusal = Refusal::none;
  Extent extent;
  Bytes bytes = 0;
  Bytes used_bytes = 0;
  Duration late{};
  std::optional<Instant> started, in_memory, first_used;
  ReaderId reader = kNoReader;   // for whom it was loaded, where that is one reader
  ReaderId used_by = kNoReader;  // who used it first
};

// --- seams ---------------------------------------------------------------------------------------------------------

// Where plans go: the broker behind its hint service, or in the offline simulator the plan runner itself.
// `offer` may be called from any thread, returns soon, and calls `done` once, on any thread, with one answer a plan.
class HintSink {
 public:
  using Done = std::move_only_function<void(std::vector<PlanAnswer>)>;
  virtual ~HintSink() = default;
  virtual void offer(std::vector<Plan> plans, Done done) = 0;
};

}  // namespace forelog::prefetch
