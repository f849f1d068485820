// The contract between broker and predictor: plans go in over HintService, records of what was read come out through the
// topic __access_log (each value one AccessLogRecord in Thrift's compact protocol).
//
// Rules: fields and enum values are only ever added; a number is never used again; a reader ignores what it does not
// know. Offsets are Kafka's; ranges are half open, [from, to). Topic ids are the 16 bytes of the UUID. Moments inside a
// plan are counted from the moment the broker takes it in ("in 250 ms"), because two machines' clocks differ; only
// sessions that people would put into a calendar have wall-clock times.
namespace * forelog.hint
namespace cpp forelog.thrift

const i16 FORMAT_VERSION = 1

// ---------------------------------------------------------------------------------------------------- what to have warm

struct OffsetRange {
  1: i64 from_offset,
  2: i64 to_offset,
}

// Resolved by the broker through the time index.
struct TimeRange {
  1: i64 from_ms,
  2: i64 to_ms,
}

union Range {
  1: OffsetRange offsets,
  2: TimeRange times,
}

// "This range will be wanted." Part of a plan, which says when and why.
struct Hint {
  1: binary topic_id,
  2: i32 partition,
  3: Range range,
  4: double score,                  // probability that it is read while it would still be in the cache, 0..1
  5: i32 expected_readers = 1,
}

// Which readers a plan means: all fields given must match. One without any field matches every reader.
struct ReaderClass {
  1: optional string principal,
  2: optional string client_stem,   // client.id with its trailing number cut off
  3: optional string group,         // matched against candidate groups of confidence 0.5 and more
  4: optional i64 reader,           // exactly this reader (of this broker's boot)
}

enum Reason {
  OTHER = 0,
  SEQUENTIAL = 1,      // the broker's own read-ahead
  STRIDED = 2,         // the broker's own read-ahead with gaps
  GROUP_OFFSETS = 3,   // a group formed, or read its committed offsets
  LIST_OFFSETS = 4,    // somebody asked for the offset of a time
  OFFSET_RESET = 5,    // committed offsets were set back
  RUN = 6,             // generator a: runs per group, member and partition
  STREAM = 7,          // generator b: what followed last time
  ASSOCIATION = 8,     // generator c: read together
  PERIODIC = 9,        // generator d: comes at this time
  TWIN = 10,           // generator e: another group was there before
  ANNOUNCED = 11,      // people said so: forelog warm
  RETENTION = 12,      // local retention is about to drop what a lagging group needs
}

struct WarmPlan {
  1: list<Hint> hints,
  2: i64 needed_in_us,
}

// Keep `ahead_bytes` warm in front of a reader, at its rate, until `until_offset` (-1: the end of the archived log).
struct FollowPlan {
  1: ReaderClass reader,
  2: binary topic_id,
  3: i32 partition,
  4: i64 ahead_bytes,
  5: i64 until_offset = -1,
  6: i64 from_offset = 0,           // a reader before it is not meant yet
}

struct ChainStep {
  1: Hint hint,
  2: i64 gap_us,                    // from the touch until this is wanted
}

// When such a reader touches the trigger, warm the steps in this order.
struct ChainPlan {
  1: ReaderClass reader,
  2: binary topic_id,
  3: i32 partition,
  4: OffsetRange trigger,
  5: list<ChainStep> steps,
  6: i32 fires_max = 1,
}

// Heads of a session expected at a time of day; kept until then whatever passes through the cache meanwhile.
struct SchedulePlan {
  1: list<Hint> heads,
  2: i64 expected_wall_ms,
  3: i64 jitter_ms,
  4: i64 keep_until_wall_ms,
}

union PlanBody {
  1: WarmPlan warm,
  2: FollowPlan follow,
  3: ChainPlan chain,
  4: SchedulePlan schedule,
}

struct Plan {
  1: i64 plan_id,                   // chosen by the predictor; never 0, never used again
  2: PlanBody body,
  3: double score,
  4: i32 expected_readers = 1,
  5: i64 byte_budget,               // no more than this is loaded for the plan
  6: Reason reason,
  7: string model_version,
  8: i64 expires_in_ms,             // for schedules their own wall-clock time counts
  9: i64 decided_wall_ms,           // when the predictor decided, by its clock; for the record only
}

// -------------------------------------------------------------------------------------------------------------- answers

enum PlanStatus {
  ACCEPTED = 1,
  REFUSED = 2,
  NOT_OWNER = 3,
}

enum Refusal {
  NONE = 0,
  MALFORMED = 1,       // detail names the field
  UNKNOWN_PARTITION = 2,
  EXPIRED = 3,
  OVERLOADED = 4,      // queue or plan table full: back off
  OVER_BUDGET = 5,
  DISABLED = 6,        // prefetch.mode is not predict, for the broker or the topic
  STARVED = 7,         // this reason's measured precision is nil
  ALREADY_WARM = 8,
  DUPLICATE = 9,
  STOPPING = 10,
  LOAD_FAILED = 11,    // the archive did not answer
}

struct Owner {
  1: i32 broker_id,
  2: string hint_endpoint,          // host:port; empty when unknown
}

struct PlanAnswer {
  1: i64 plan_id,
  2: PlanStatus status,
  3: Refusal refusal = Refusal.NONE,
  4: string detail,
  5: optional Owner owner,          // with NOT_OWNER
}

struct BrokerInfo {
  1: i32 broker_id,
  2: string hint_endpoint,
  3: i64 boot_id,
  4: i16 format_version,
  5: bool takes_plans,              // prefetch.mode is predict
}

service HintService {
  BrokerInfo describe(),
  // One answer a plan, in order.
  list<PlanAnswer> offer(1: list<Plan> plans),
}

// ----------------------------------------------------------------------------------------------- records of __access_log

struct RecordHeader {
  1: i32 broker_id,
  2: string hint_endpoint,
  3: i64 boot_id,                   // another at every start of the broker
  4: i32 core,
  5: i64 sequence,                  // counts up for each core of a boot; a gap is a number of dropped records
  6: i64 monotonic_us,              // comparable within one boot
  7: i64 wall_ms,
  8: i16 format_version,
}

enum Evidence {
  CLIENT_ID = 1,       // consumer-GROUP-N
  COORDINATOR = 2,     // FindCoordinator or group requests on the fetching connection
  ASSIGNMENT = 3,      // partition is assigned to a member with the same client.id, host and principal
  FIRST_OFFSET = 4,    // began where OffsetFetch told that group
  COMMITS = 5,         // commits trail this reader
}

struct GroupCandidate {
  1: string group,
  2: double confidence,
  3: Evidence evidence,
}

enum ReaderStart {
  FIRST = 1,           // first read of this partition on a connection
  SEEK = 2,            // the connection jumped to another offset
  STILL_OPEN = 3,      // said again every 30 seconds while it reads, with revised candidates
}

struct ReaderRecord {
  1: i64 reader,
  2: i64 connection,
  3: string client_id,
  4: string software_name,
  5: string software_version,
  6: string principal,
  7: string host,
  8: string rack,
  9: list<GroupCandidate> groups,
  10: ReaderStart start,
  11: binary topic_id,
  12: i32 partition,
  13: string topic,
  14: i64 start_offset,
  15: i64 opened_monotonic_us,
}

struct BytesByTier {
  1: i64 tail,
  2: i64 local,                     // local segment
  3: i64 memory,
  4: i64 disk,
  5: i64 shared_regional,
  6: i64 shared_global,
  7: i64 archive,
}

enum WaitCause {
  NONE = 0,
  DATA = 1,            // the end of the log: waited for new records
  ARCHIVE = 2,         // waited for a load that it began
  JOINED = 3,          // waited for a load already in flight
  TIER = 4,            // waited for a disk or shared tier
  BUDGET = 5,          // waited for memory or a turn
}

// One read of one partition, or with fetches > 1 a second's reads at the log's end.
struct AccessRecord {
  1: i64 reader,
  2: binary topic_id,
  3: i32 partition,
  4: i32 leader_epoch,
  5: i64 offset_asked,
  6: i64 first_offset,              // -1 when nothing was returned
  7: i64 last_offset,               // inclusive
  8: i64 first_timestamp_ms,
  9: i64 last_timestamp_ms,
  10: i64 high_watermark,
  11: i64 shard_base,
  12: i32 shard_generation,
  13: i32 first_block,              // -1 where the bytes are not in blocks yet
  14: i32 last_block,
  15: i32 partition_max_bytes,
  16: i32 max_bytes,
  17: i32 min_bytes,
  18: i32 max_wait_ms,
  19: BytesByTier bytes,
  20: i64 wait_us,
  21: WaitCause wait_cause,
  22: i64 plan_id,                  // plan that had loaded the bytes; 0: none
  23: Reason reason,                // why they had been loaded; OTHER: they had not
  24: i32 fetches = 1,
}

enum GroupEventKind {
  JOIN = 1,
  SYNC = 2,
  LEAVE = 3,
  OFFSET_FETCH = 4,
  COMMIT = 5,
  RESET = 6,           // offsets set by somebody who is not a member (generation -1)
  LIST_OFFSETS = 7,    // group empty
  FIND_COORDINATOR = 8,
}

struct GroupOffset {
  1: binary topic_id,
  2: i32 partition,
  3: i64 offset = -1,               // -1: none
  4: i64 timestamp_ms = -1,         // asked by LIST_OFFSETS
}

struct GroupRecord {
  1: GroupEventKind kind,
  2: string group,
  3: i32 generation,
  4: string member,
  5: string instance,
  6: string client_id,
  7: string host,
  8: string principal,
  9: i64 connection,
  10: list<GroupOffset> offsets,    // with SYNC the assignment, without offsets
}

enum OutcomeKind {
  USED = 1,
  LATE = 2,            // the reader came while it was loading
  UNUSED = 3,          // left the cache unread
  REFUSED = 4,         // never loaded
}

// What became of one prefetched extent. Moments are the broker's monotonic clock; 0 where there was none.
struct OutcomeRecord {
  1: i64 plan_id,                   // 0: the broker's own
  2: Reason reason,
  3: OutcomeKind outcome,
  4: Refusal refusal = Refusal.NONE,
  5: binary topic_id,
  6: i32 partition,
  7: i64 shard_base,
  8: i32 shard_generation,
  9: i32 first_block,
  10: i32 blocks,
  11: i64 bytes,
  12: i64 used_bytes,
  13: i64 late_us,
  14: i64 decided_wall_ms,
  15: i64 received_us,
  16: i64 started_us,
  17: i64 in_memory_us,
  18: i64 first_used_us,
  19: i64 reader,                   // who used it first; 0: nobody, or unknown
  20: double score,
  21: string model_version,
}

union AccessLogBody {
  1: ReaderRecord reader,
  2: AccessRecord access,
  3: GroupRecord group,
  4: OutcomeRecord outcome,
}

struct AccessLogRecord {
  1: RecordHeader header,
  2: AccessLogBody body,
}
