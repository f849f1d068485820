// local_log.h: the log of one partition as this broker has it: appends, reads, and the life of its shards.
//
// Used on its owner core only. Appending is synchronous; bytes go to the tail, the write-ahead log and, later and in
// larger pieces, to the segment. `end` is what has been appended, `durable_end` what survives (durability=wal: a power
// cut; page-cache: the broker's crash). No reader may see beyond the high watermark, which the caller knows.
//
// When the disk fails or is full, appends and waits fail with that error until it works again; nothing acknowledged is
// lost, and what was appended but not acknowledged may still become durable.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/metrics.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/log/batch.h"
#include "broker/log/catalog.h"
#include "broker/log/chain.h"
#include "broker/log/failing_writes.h"
#include "broker/log/footer.h"
#include "broker/log/local_partitions.h"
#include "broker/log/tail.h"
#include "broker/log/topic_settings.h"
#include "broker/log/wal.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace forelog::log {

// Told of every batch, so that what is derived from them (producer sequences) travels with the log. Not owned; outlives
// the log. Called synchronously on the owner core.
class BatchObserver {
 public:
  virtual ~BatchObserver() = default;
  virtual void on_append(BatchView batch) = 0;          // also of batches read again by recovery
  virtual Buffer snapshot() = 0;                        // state after the last batch seen
  virtual Result<void> restore(ByteView snapshot) = 0;  // forget all; go on from `snapshot` (empty: from nothing)
};

struct LogMetrics {
  explicit LogMetrics(MetricsRegistry& registry);
  Counter appended_batches, appended_bytes, shards_cut, shards_sealed, checkpoints, flush_failures;
  Counter memory_reads, file_reads, recovered_bytes, dropped_bytes;
};

// What the logs of one core share.
struct LogContext {
  env::Env& env;
  Wal& wal;
  Catalog& catalog;
  TailBudget& tail_budget;
  LogMetrics& metrics;
  LocalPartitions& local;
  env::Path directory;               // of all segments
  Bytes checkpoint_bytes = 64_MiB;   // a partition checkpoints after this much
  FailingWrites* failing = nullptr;  // told of partitions that cannot write
};

struct AppendResult {
  Offset base;
  Offset last;
  std::int64_t append_time_ms = -1;  // with message.timestamp.type=LogAppendTime
};

// Whole batches of one shard.
struct LogRead {
  Slices batches;
  Offset start = kNoOffset;  // of the first batch; at or before what was asked for
  Offset end = kNoOffset;    // where to read on; what was asked for when there is nothing
  bool from_memory = true;
  std::int64_t first_timestamp = kNoTimestamp;  // of the first batch
  bool empty() const { return batches.empty(); }
};

class LocalLog {
 public:
  // Opens what the catalog and the segments have, after `replay_wal`; a partition new to the catalog begins empty at
  // `PartitionState{}.log_start`. Reads only what lies after the last checkpoint. Fails CorruptFile, Io.
  static Task<Result<std::unique_ptr<LocalLog>>> open(LogContext& context, PartitionKey partition,
                                                      TopicSettings settings, BatchObserver* observer);
  // CHECKs that it was closed, unless `remove_files` did.
  ~LocalLog();

  PartitionKey partition() const;
  const TopicSettings& settings() const;
  void set_settings(TopicSettings settings);

  // --- append ---
  // `batch` is one sound batch (see `validate`) in memory that nobody else reads or writes yet: offset, epoch and, with
  // LogAppendTime, timestamps are stamped in place. Its bytes are kept until written. Fails with the disk's error while
  // the disk fails, Overloaded when the tails are full, RecordListTooLarge.
  Result<AppendResult> append(Buffer batch, Epoch epoch, WallTime now);
  // A leader begins `epoch` here, before its first record (KAFKA-7415). Not below the newest one known.
  void begin_epoch(Epoch epoch);
  // Ends the open shard, if it holds anything, so that what is there can be sealed. The next append begins another.
  void cut(WallTime now);

  Offset end() const;
  Offset durable_end() const;
  Event& advanced();                   // notified when durable_end moved, or `error` changed
  std::optional<Error> error() const;  // why the disk takes nothing now
  // Waits until durable_end is at least `end`. Fails Timeout, or with the disk's error.
  Task<Result<void>> wait_durable(Offset end, Deadline deadline);

  // --- read ---
  Offset log_start() const;    // first offset of the partition that exists for readers
  Offset local_start() const;  // first offset that is on this broker
  // Whole batches from the one that contains `from`, below `limit` (the high watermark, or the end), of one shard,
  // together at most `size_max` bytes, but one batch at least when `at_least_one`. Nothing when `from` is at the limit.
  // Fails OffsetOutOfRange when `from` lies beyond the end, or before local_start and memory has it no more;
  // CorruptFile, Io.
  Task<Result<LogRead>> read(Offset from, Offset limit, Bytes size_max, bool at_least_one);
  // The same, to be sent: batches may lie in the segment's file (see Buffer), up to an entry of the shard's index.
  Task<Result<LogRead>> read_to_send(Offset from, Offset limit, Bytes size_max, bool at_least_one);
  // As `read`, at once, if memory has it.
  std::optional<LogRead> try_read(Offset from, Offset limit, Bytes size_max, bool at_least_one) const;
  // First local record at or after local_start and below `limit` with a timestamp of at least `timestamp`.
  Task<Result<std::optional<TimestampedOffset>>> find_by_time(std::int64_t timestamp, Offset limit);
  // The local record with the largest timestamp below `limit`; an offset of -1 when there is none.
  Task<Result<TimestampedOffset>> max_timestamp(Offset limit);

  // --- epochs ---
  const std::vector<EpochStart>& epochs() const;
  Epoch latest_epoch() const;  // kNoEpoch when none
  // Where `epoch` ended: the answer to OffsetForLeaderEpoch (replication.md §3); -1 and -1 when unknown. One whose
  // records have all gone ended at log_start.
  struct EpochEnd {
    Epoch epoch = kNoEpoch;
    Offset end = kNoOffset;
  };
  EpochEnd epoch_end(Epoch epoch) const;

  // --- shards ---
  const Chain& chain() const;                   // all that this broker knows of: local and archived
  std::vector<ShardDescriptor> sealed() const;  // local, sealed, not archived yet; oldest first
  // Seals cut shards that end at or before `high_watermark`: footer, sync, catalog. Returns how many.
  Task<Result<int>> seal_up_to(Offset high_watermark);
  // The sealed shard's file, data and footer, for archiving. Verifies each block as it is read: fails CorruptBlock.
  Task<Result<std::unique_ptr<env::ObjectContent>>> content_of(ShardId shard);
  Task<Result<std::shared_ptr<const Footer>>> footer_of(ShardId shard);  // local or archived; NotFound
  // The chain record in the metadata store says that the shard is archived.
  Task<Result<void>> mark_archived(ShardId shard);
  // Adds shards before what is here, as the metadata store's chain has them, with footers where known.
  Task<Result<void>> adopt_archived(std::vector<ShardDescriptor> shards);
  Task<Result<void>> put_footer(ShardId shard, Buffer encoded);
  // Removes the local bytes of an archived shard; the descriptor and its footer stay.
  Task<Result<void>> drop_local(ShardId shard);
  // Records before `offset` are gone. Whole shards before it are removed and returned: their objects are to be deleted
  // by the caller. Never moves back, nor beyond the durable end.
  Task<Result<std::vector<ShardDescriptor>>> set_log_start(Offset offset);
  void note_read(ShardId shard, Bytes bytes, WallTime now);  // for the access summary

  // --- rewriting ---
  const env::Path& segments_directory() const;  // of all partitions
  // A generation that no shard of this partition has had, nor will have from here.
  Generation next_generation() const;
  // Puts `next`, a shard of a higher generation, in the place of the shards that it covers exactly: in the catalog, all
  // or none, then here. Its segment is there if it is local, its object if it is archived. Returns the shards that are
  // no more; their segments are deleted, or go at the next start, their objects are the caller's. Reads that began
  // before go on in the old segment or begin again. Conflict when the chain has no such run of sealed shards.
  Task<Result<std::vector<ShardDescriptor>>> replace_shards(ShardDescriptor next, Buffer footer);
  // Everything before it has been through a pass of compaction. Never moves back.
  Offset compacted_end() const;
  Task<Result<void>> set_compacted_end(Offset end);

  Offset high_watermark() const;           // as set, at first as checkpointed
  void set_high_watermark(Offset offset);  // kept by the next checkpoint

  // --- upkeep ---
  // Removes records at and after `end`; nobody may have seen them. Sealed shards cannot be truncated: Conflict.
  Task<Result<void>> truncate_to(Offset end);
  // Writes and syncs the segments, then the catalog, and frees the write-ahead log.
  Task<Result<void>> checkpoint();
  // Ends a shard by age, checkpoints what has waited long, closes idle files. Call about once a second.
  void tick(Instant now, WallTime wall);
  // After it only the destructor may be called. A checkpoint unless the disk fails, so that the next start is fast.
  Task<Result<void>> close();
  // Deletes the partition's files; instead of close. The catalog still names it: that goes last
  // (`Catalog::remove_all`), so that whoever is interrupted knows what there is to delete.
  Task<Result<void>> remove_files();

 private:
  struct Impl;
  explicit LocalLog(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// The files of a partition that is not open, if it has any.
Task<Result<void>> remove_partition_files(LogContext& context, PartitionKey partition);

}  // namespace forelog::log
