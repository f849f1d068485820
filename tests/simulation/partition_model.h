// partition_model.h: what one partition must hold: the batches of its only producer, and how far they were promised.
//
// Batch i is a function of the seed, the partition and i alone, so that every run of a seed, whatever its faults and
// its hints, must end with the same records at the same offsets. Pure.
#pragma once

#include "broker/base/ids.h"
#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch.h"
#include "broker/log/topic_settings.h"
#include "tests/simulation/oracle.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forelog::simulation {

struct PartitionPlan {
  TopicName topic;
  PartitionId partition;
  log::Durability durability = log::Durability::wal;
  std::int32_t shard_size = 0;
  std::size_t batches = 0;
  std::size_t value_size_max = 1000;
  Duration pause_max = 60ms;       // between two batches
  bool append_time = false;        // the broker gives the timestamps
  bool disordered = false;         // the producer's timestamps do not follow the offsets
  bool deletes = false;            // clients delete records
  bool compacts = false;           // cleanup.policy=compact
  bool tombstones_stay = true;     // for longer than the run
  Bytes retention_bytes = -1;      // beyond it, the oldest shards go
  Duration retention_time = -1ms;  // after it, they go
  bool has_retention() const { return retention_bytes >= 0 || retention_time >= 0ms; }
  bool start_moves() const { return deletes || has_retention(); }
};

struct Wrong {
  Oracle oracle;
  std::string what;
  bool damaged = false;  // its checksum, or its form, gives it away
};

class PartitionModel {
 public:
  PartitionModel(const PartitionPlan& plan, std::uint64_t seed);

  const PartitionPlan& plan() const { return plan_; }
  std::string name() const;

  // --- what is written ---
  std::size_t count() const { return batches_.size(); }
  // First offset of batch `index`; with `index == count()`, the end of the log when all is written.
  Offset base(std::size_t index) const { return bases_[index]; }
  Offset full_end() const { return bases_.back(); }
  // The batch, as produced under this producer id, epoch and sequence.
  Buffer produce(std::size_t index, ProducerId producer, std::int16_t epoch, std::int32_t sequence) const;
  // The batch that begins at `offset`, if one does; `count()` for the end.
  std::optional<std::size_t> index_at(Offset offset) const;
  // Bytes of the batches that begin in [from, to).
  Bytes bytes_between(Offset from, Offset to) const;

  // --- times ---
  // Of the record at `offset`; -1 while the broker's clock decides and has told nobody.
  std::int64_t timestamp_of(Offset offset) const;
  // First offset in [from, below) whose record is not older than `timestamp`; kNoOffset if there is none. `surely`: and
  // which compaction cannot have taken.
  Offset first_not_before(std::int64_t timestamp, Offset from, Offset below, bool surely = false) const;
  // The largest timestamp in [from, below).
  std::int64_t newest_timestamp(Offset from, Offset below) const;
  // The broker says that it gave batch `index` this time. What is known of it never changes.
  std::optional<Wrong> note_append_time(std::size_t index, std::int64_t time);

  // --- what was promised ---
  std::size_t sent = 0;          // batches that may be there
  std::size_t acknowledged = 0;  // batches that must be there
  Offset readable{0};            // a high watermark that some reader saw; it never falls
  Offset log_start{0};           // the highest that some reader saw; it never falls
  Offset delete_wanted{0};       // before it records may be deleted, because somebody asked for it
  bool gone = false;             // the topic is deleted: its clients end
  int rotten = 0;  // grows while stored bytes are damaged, and again when they are whole: odd means damaged
  Offset acknowledged_end() const { return base(acknowledged); }
  Offset sent_end() const { return base(sent); }
  // Why the log must not start at `start`, by a clock that showed `latest` at most.
  std::optional<std::string> check_start(Offset start, WallTime latest) const;
  // Of the broker's machine: with page-cache, nothing more is promised.
  void on_power_cut();
  bool forgetful() const { return plan_.durability == log::Durability::page_cache; }

  // Who saw some records, and what that binds the broker to. The time and the epoch of a batch are promised once a
  // client has seen them, so later ones must agree. A batch in a file may be one that nobody was ever shown: a crash
  // may take it, and the producer's next try is another append. An answer in doubt binds to nothing: one that was
  // under way when a power cut made the partition forget, or while bits rot, as no checksum covers the epoch in a batch
  // (record batch format 2).
  enum class Witness { client, file, in_doubt };
  // Why `records`, read at `asked`, are not what they must be; nothing when they are. `next` moves behind them.
  std::optional<Wrong> check(const Slices& records, Offset asked, Offset limit, Offset& next, Witness witness);

  // --- compaction ---
  // Whether a log must still have the record at `offset`: no newer one with its key was sent, and it is no tombstone
  // that may have gone.
  bool must_be_there(Offset offset) const;
  // Newest records by key, as somebody who read [from, below) must know them, against what he knows; tombstones do not
  // count.
  using Newest = std::map<std::string, Offset>;
  std::optional<Wrong> check_newest(const Newest& known, Offset from, Offset below) const;

  // Where `epoch` ends, as the batches seen so far say; kNoOffset when none of a newer epoch was seen.
  Offset end_of_epoch(Epoch epoch) const;
  std::vector<Epoch> epochs_seen() const;

 private:
  struct Known {
    std::string key;
    std::optional<std::string> value;
    Offset superseded_by = kNoOffset;  // the next record with its key
  };
  std::optional<Wrong> check_batch(log::BatchView batch, Witness witness);
  std::optional<Wrong> check_promises(std::size_t index, log::BatchView batch, Witness witness);
  std::optional<Wrong> check_cleaned(log::BatchView batch) const;
  std::optional<Wrong> check_missing(Offset from, Offset to) const;
  void note_records();
  std::optional<Wrong> note_epoch(std::size_t index, Epoch epoch);
  std::size_t batch_of(Offset offset) const;

  PartitionPlan plan_;
  std::uint64_t seed_;
  std::vector<Offset> bases_;               // one more than batches
  std::vector<Buffer> batches_;             // without a producer
  std::vector<Bytes> positions_;            // bytes before each batch; one more than batches
  std::vector<std::int64_t> append_times_;  // by batch; -1: not known
  std::vector<Epoch> epochs_;               // by batch, as read; kNoEpoch: not known
  std::vector<Known> records_;              // by offset; of topics that are compacted
};

}  // namespace forelog::simulation
