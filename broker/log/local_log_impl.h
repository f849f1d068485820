// local_log_impl.h: the state behind LocalLog, shared by its parts: append and write (local_log.cc), reads
// (local_log_read.cc), the life of shards (local_log_shards.cc), opening and truncation (local_log_open.cc).
#pragma once

#include "broker/env/task_group.h"
#include "broker/log/local_log.h"
#include "broker/log/recovery.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace forelog::log {

// A shard without a footer in its file yet: the open one, or one that is cut.
struct GrowingShard {
  explicit GrowingShard(FooterBuilder b) : builder(std::move(b)), written(builder.size()), synced(builder.size()) {}
  ShardId id() const { return builder.so_far().shard; }
  // How much of the file may be sent from the page cache. After a failed sync the system may have taken back what it
  // showed there.
  Bytes sendable() const { return sync_failed ? synced : written; }
  Offset end() const { return builder.so_far().end; }

  FooterBuilder builder;  // of all that was appended
  Buffer snapshot;        // of the producers at its end; once cut
  Buffer footer;          // that its file ends with: it had been sealed when the broker crashed
  env::FilePtr file;      // open while there is something to write
  bool name_durable = false;
  Bytes written = 0;         // bytes in the file
  Bytes synced = 0;          // bytes on the disk
  bool sync_failed = false;  // the system may have dropped bytes between `synced` and `written`: write them again
  bool unsynced_footer = false;
  Bytes noted_size = -1;  // what of it the catalog has
  bool noted_cut = false;
  Lsn last_lsn{0};  // newest entry in the write-ahead log
};

struct LocalLog::Impl final : WalClient, std::enable_shared_from_this<LocalLog::Impl> {
  Impl(LogContext& c, PartitionKey key, TopicSettings s, BatchObserver* o);

  // --- append and write (local_log.cc) ---
  Result<AppendResult> append(Buffer batch, Epoch epoch, WallTime now);
  void begin_epoch(Epoch epoch);
  void cut(WallTime now);
  GrowingShard& open_shard(WallTime now);
  void on_wal_durable(Offset base, Offset batch_end, Lsn lsn);
  void update_durable();
  void checkpoint_wanted() override { spawn_checkpoint(); }
  void wal_state(const std::optional<Error>& state) override;
  std::optional<Error> error() const { return wal_error ? wal_error : write_error; }
  void request_write(Offset up_to);
  static Task<void> write_loop(Impl& self);
  static Task<void> make_directory(Impl& self);
  void write_failed(Error error);
  void write_works();
  static Task<Result<void>> write_some(Impl& self);
  Task<Result<void>> stored_in(env::File& file, const GrowingShard& shard, Bytes position, Slices bytes);
  Task<Result<void>> written_up_to(Offset offset);  // waits for the write loop
  Task<Result<env::FilePtr>> file_of(std::shared_ptr<GrowingShard> shard);

  // --- reads (local_log_read.cc) ---
  // What is asked of a read; see LocalLog.
  struct Wanted {
    Offset from, limit;
    Bytes size_max = 0;
    bool at_least_one = false;
    bool to_send = false;
  };
  Task<Result<LogRead>> read(Wanted wanted);
  std::optional<LogRead> try_read(const Wanted& wanted);
  Task<Result<LogRead>> read_file(ShardDescriptor shard, Wanted wanted);
  Task<bool> still_has(ShardId shard, Error why);
  std::optional<LogRead> try_send(const Wanted& wanted);
  std::optional<LogRead> send_file(const Footer& footer, Bytes available, env::File& file, const Wanted& wanted);
  Task<Result<env::FilePtr>> file_to_read(ShardId shard);
  Task<Result<std::shared_ptr<const Footer>>> footer_of(ShardId shard);
  Task<Result<std::optional<TimestampedOffset>>> find_by_time(std::int64_t timestamp, Offset limit);
  Task<Result<std::optional<TimestampedOffset>>> find_by_time_in(ShardDescriptor shard, std::int64_t timestamp,
                                                                 Offset limit);
  Task<Result<std::optional<TimestampedOffset>>> newest_in(ShardDescriptor shard, Offset limit);
  Task<Result<TimestampedOffset>> newer_between(Offset from, Offset to, TimestampedOffset than);
  Offset local_start() const;

  // --- the life of shards (local_log_shards.cc) ---
  // Changes of shards happen one after another: each takes a turn, and gives it back.
  template <class T>
  static Task<Result<T>> in_turn(std::shared_ptr<Impl> self, Task<Result<T>> change) {
    while (self->turn_taken) co_await self->wake.wait(self->context.env.clock.now() + 1s);
    self->turn_taken = true;
    auto result = co_await std::move(change);
    self->turn_taken = false;
    self->wake.notify();
    co_return result;
  }
  Task<Result<void>> checkpoint();
  Task<Result<void>> sync_shard(std::shared_ptr<GrowingShard> shard, Bytes up_to);
  Task<Result<void>> write_again(std::shared_ptr<GrowingShard> shard);
  Task<Result<int>> seal_up_to(Offset high_watermark);
  Task<Result<void>> seal(std::shared_ptr<GrowingShard> shard);
  Task<Result<void>> remove_segment(ShardId shard);
  Task<Result<std::vector<ShardDescriptor>>> set_log_start(Offset offset);
  void forget_growing_before(Offset base);
  void keep_last_footer(const ShardDescriptor& last, PartitionState& next, Catalog::Change& change);
  Task<Result<void>> drop_local(ShardId shard);
  Task<Result<void>> mark_archived(ShardId shard);
  Task<Result<void>> adopt_archived(std::vector<ShardDescriptor> shards);
  Task<Result<std::vector<ShardDescriptor>>> replace_shards(ShardDescriptor next, Buffer footer);
  Task<Result<void>> set_compacted_end(Offset offset);
  Task<Result<void>> change_shard(ShardDescriptor shard, env::Durability durability);
  void release_wal(Lsn lsn);
  void spawn_checkpoint();
  static Task<void> background_checkpoint(Impl& self);
  void tick(Instant now, WallTime wall);
  Task<void> wait_for_wal(Deadline deadline);  // until it has answered all that was submitted, or fails
  Task<void> stop();
  Task<Result<void>> remove_files();
  GrowingShard* growing_at(Offset base);
  bool is_cut(const GrowingShard& shard) const { return chain.open() == nullptr || &shard != growing.back().get(); }

  // --- opening and truncation (local_log_open.cc) ---
  Task<Result<void>> open();
  Task<Result<std::vector<SegmentName>>> list_segments();
  Task<Result<void>> open_settled(std::vector<ShardDescriptor> known, std::vector<SegmentName>& segments);
  Task<Result<void>> open_growing(std::vector<ShardDescriptor> known, std::vector<SegmentName> segments);
  Task<Result<std::shared_ptr<GrowingShard>>> open_segment(ShardId id);
  Task<Result<Buffer>> footer_behind(const GrowingShard& shard, env::FilePtr file, Bytes size);
  Task<Result<void>> note_sealed(std::shared_ptr<GrowingShard> shard, Buffer encoded);
  Task<Result<void>> restore_observer_before(Offset base);
  // Takes batches from `file` after what `shard` has, as long as they are whole, follow one another and end by
  // `end_max`.
  Task<Result<void>> scan(GrowingShard& shard, env::FilePtr file, Offset end_max);
  Task<Result<void>> drop_segment(SegmentName name, std::string_view why);
  void settle_offsets();
  // Of epochs with nothing at or after `log_start`, none stays; the first that stays begins no earlier, as in Kafka.
  static void forget_epochs_before(Offset log_start, std::vector<EpochStart>& epochs);
  Task<Result<void>> truncate_to(Offset target);
  // What is left of `old` when the log ends at `target`: in the write-ahead log, not yet in the files.
  Task<Result<std::shared_ptr<GrowingShard>>> log_truncation_of(std::shared_ptr<GrowingShard> old, Offset target);
  Task<Result<void>> truncate_files(std::shared_ptr<GrowingShard> last, std::vector<ShardDescriptor> removed);
  Task<Result<void>> log_truncation(ShardId shard, Bytes size);

  env::Path directory() const { return partition_directory(context.directory, partition); }
  env::Path path_of(ShardId shard) const { return segment_path(context.directory, shard); }
  ShardDescriptor& describe(const GrowingShard& shard);  // brings the chain's descriptor up to date
  // By what way appends reach the disk. Replay knows of a truncation, and would take back what follows it and is not in
  // the write-ahead log, too.
  Durability durability() const { return truncation_logged ? Durability::wal : settings.durability; }
  Buffer snapshot() { return observer ? observer->snapshot() : Buffer(); }

  LogContext& context;
  PartitionKey partition;
  TopicSettings settings;
  BatchObserver* observer;
  Chain chain;
  PartitionState state;
  Tail tail;
  Event advanced;
  Event wake;  // writers, who waits for them or for a turn, who pauses after an error: look again
  TaskGroup tasks;

  std::vector<std::shared_ptr<GrowingShard>> growing;  // in order; the last is open if the chain's last is
  Offset end{0};
  Offset durable{0};
  Offset wal_end{0};       // what the write-ahead log has
  Offset written_end{0};   // what the segments have, synced or not
  Offset synced_end{0};    // what the segments have, synced
  Offset logged_end{0};    // end of the newest batch that went to the write-ahead log
  Offset unlogged_end{0};  // end of the newest batch that did not go to the write-ahead log
  Offset write_target{0};
  Lsn acked_lsn{0}, released_lsn{0};
  std::optional<Error> wal_error, write_error;
  std::int64_t write_failures = 0;
  // Durably, since this life's first append: without it, replay would drop what the write-ahead log has. One that is
  // there may be what a life left that crashed before its name was durable.
  bool has_directory = false;
  bool making_directory = false;
  bool writing = false;
  std::optional<ShardId> being_written;
  bool turn_taken = false;
  bool checkpoint_spawned = false;
  bool checkpoint_again = false;       // somebody wants what the one under way does not have
  bool truncation_logged = false;      // in this life
  bool truncation_unfinished = false;  // files have more than the log; only the write-ahead log knows
  bool closing = false;
  bool closed = false;
  Instant dirty_since = Instant::max();  // since when something waits for a checkpoint
  Bytes appended_since_checkpoint = 0;

  std::vector<std::shared_ptr<const Footer>> footers;  // a few of those asked for last
  std::optional<std::pair<ShardId, env::FilePtr>> read_file_handle;
  Instant read_file_used{};
};

}  // namespace forelog::log
