// partition.h: one replica of a partition: what it takes, what it gives to whom, what of it is where.
//
// Lives on its owner core; only that core calls. Reads go to the local log or, for what is only in the archive, through
// the block cache. The high watermark is what the in-sync set (today: this broker) has durably; no reader sees beyond
// it. Calls after `close` began fail with NotLeader, which sends clients to look for the partition again.
#pragma once

#include "broker/archive/archived_log.h"
#include "broker/cache/block_cache.h"
#include "broker/cluster/cluster_view.h"
#include "broker/env/env.h"
#include "broker/env/task_group.h"
#include "broker/log/local_log.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/shard_map.h"
#include "broker/replication/archiver.h"
#include "broker/replication/in_sync_set.h"
#include "broker/replication/producer_budget.h"
#include "broker/replication/producer_table.h"
#include "broker/replication/write_through.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace forelog::replication {

// What the partitions of one core share.
struct PartitionContext {
  env::Env& env;
  BrokerId self;
  log::LogContext& log;
  cache::BlockCache& cache;
  archive::FooterCache& footers;
  Archiver::Context& archiver;
  WriteThrough::Context& write_through;
  std::string archive_prefix;
  ProducerBudget& producers;
  Duration producer_expiration = 24h;
};

struct AppendOptions {
  std::int16_t acks = -1;
  bool zstd_allowed = true;
  bool internal = false;  // of the broker's own: may hold what clients may not send
};
struct Appended {
  Offset base;
  Offset end;                        // after the batch: what to wait for
  std::int64_t append_time_ms = -1;  // with LogAppendTime
  bool duplicate = false;            // it was appended before; `base` is from then
};

struct ReadRequest {
  Offset offset;
  Bytes size_max = 0;
  bool at_least_one = false;  // one batch even if larger
  bool to_send = false;       // the batches may lie in a file (see Buffer)
  bool read_committed = false;
  Epoch leader_epoch = kNoEpoch;  // as the client believes it; kNoEpoch: does not say
  prefetch::ReaderId reader{0};
  std::shared_ptr<Event> news;  // notified when there may be more than was returned; null: does not wait
};
struct ReadResult {
  std::optional<Error> error;
  Slices batches;
  Bytes size = 0;
  Offset high_watermark = kNoOffset;
  Offset log_start = kNoOffset;
  bool loading = false;  // what it wants is on its way from the archive
  // For the access log.
  Offset first = kNoOffset;  // of the batches
  Offset end = kNoOffset;
  ShardId shard;
  std::int32_t first_block = -1;
  std::int32_t last_block = -1;
  prefetch::BytesByTier tiers;
  std::int64_t first_timestamp = -1;
  std::int64_t last_timestamp = -1;
  cache::LoadCause cause;  // of the load that brought (the first of) them
  bool joined = false;     // what was waited for was on its way already
  Instant ready{};         // when the last of it came into memory; the epoch for what is not in the archive
};

struct OffsetAnswer {
  std::int64_t timestamp = -1;
  Offset offset = kNoOffset;
  Epoch epoch = kNoEpoch;
};

class Partition {
 public:
  static Task<Result<std::shared_ptr<Partition>>> open(PartitionContext& context, cluster::TopicViewPtr topic,
                                                       PartitionKey key, Epoch leader_epoch);
  ~Partition();

  const PartitionKey& key() const { return key_; }
  const TopicName& topic() const { return topic_->name; }
  const log::TopicSettings& settings() const { return *topic_->settings; }
  Epoch leader_epoch() const { return epoch_; }
  void update(cluster::TopicViewPtr topic, Epoch leader_epoch);  // settings or epoch changed

  // --- produce ---
  // Validates, checks the producer's sequence, assigns offsets and queues for the disk; does not suspend. `batch` is in
  // memory that nobody else reads or writes yet.
  Result<Appended> append(Buffer batch, const AppendOptions& options);
  // Until what was appended below `end` is acknowledged as `acks` asks (1: here, until `disk`; -1: by the in-sync set,
  // the others until `replicas`).
  Task<Result<void>> wait_acknowledged(Offset end, std::int16_t acks, Deadline disk, Deadline replicas);

  // --- fetch ---
  // Never waits for the archive: what is missing is being loaded when this returns, and `news` will be notified.
  Task<ReadResult> read(ReadRequest request);

  Offset log_start() const { return log_->log_start(); }
  Offset high_watermark() const { return in_sync_.high_watermark(); }
  Offset end() const { return log_->end(); }
  Offset local_start() const { return log_->local_start(); }
  const ProducerTable& producers() const { return producers_; }

  // First record with a timestamp of at least `timestamp`, below the high watermark; an offset of -1 when there is
  // none.
  Task<Result<OffsetAnswer>> find_by_time(std::int64_t timestamp);
  Task<Result<OffsetAnswer>> find_max_timestamp();
  log::LocalLog::EpochEnd epoch_end(Epoch epoch) const;
  // The epoch a record at `offset` was written in.
  Epoch epoch_at(Offset offset) const;
  Result<void> check_epoch(Epoch client_epoch) const;

  // --- shards ---
  const log::Chain& chain() const { return log_->chain(); }
  Offset archived_end() const;
  Task<Result<Offset>> delete_records(Offset before);  // yields the new log start
  Task<Result<std::vector<cache::BlockRange>>> resolve(prefetch::OffsetRange offsets, Bytes bytes_max);

  void tick(Instant now, WallTime wall);  // about once a second
  Task<void> close();                     // keeps everything; ends within seconds
  Task<Result<void>> remove_local();      // the topic is gone: so are its local files. Instead of close

 private:
  class Observer;
  class Use;
  Partition(PartitionContext& context, cluster::TopicViewPtr topic, PartitionKey key, Epoch leader_epoch);
  static Task<void> follow_durable(Partition& self);
  void advance_high_watermark();
  void subscribe(const std::shared_ptr<Event>& news);
  void notify_readers();
  void follow_write_through();
  Task<void> seal_and_note();
  Task<void> stop_tasks();
  Task<void> read_local(ReadRequest request, Offset limit, ReadResult& result);
  void read_archived(const ReadRequest& request, Offset limit, ReadResult& result);

  PartitionContext& context_;
  cluster::TopicViewPtr topic_;
  PartitionKey key_;
  Epoch epoch_;
  ProducerTable producers_;
  std::unique_ptr<Observer> observer_;
  std::unique_ptr<log::LocalLog> log_;
  InSyncSet in_sync_;
  archive::ArchivedLog archived_;
  std::unique_ptr<Archiver> archiver_;
  std::unique_ptr<WriteThrough> write_through_;  // null unless the topic asks for it
  std::vector<std::weak_ptr<Event>> readers_;    // waiting for the high watermark to move
  Event advanced_;                               // the high watermark moved, or closing
  Event idle_;                                   // the last use ended
  int uses_ = 0;
  bool closing_ = false;
  bool sealing_ = false;
  std::optional<ErrorCode> seal_failure_told_;
  TaskGroup tasks_;
};

}  // namespace forelog::replication
