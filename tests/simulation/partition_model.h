// partition_model.h: what one partition must hold: the batches of its only producer, and how far they were promised.
//
// Batch i is a function of the seed, the partition and i alone, so that every run of a seed, whatever its faults and
// its hints, must end with the same records at the same offsets. Pure.
#pragma once

#include "broker/base/ids.h"
#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch.h"
#include "broker/log/topic_settings.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::simulation {

struct PartitionPlan {
  TopicName topic;
  PartitionId partition;
  log::Durability durability = log::Durability::wal;
  bool has_retention = false;  // the oldest shards may go
  std::int32_t shard_size = 0;
  std::size_t batches = 0;
  std::size_t value_size_max = 1000;
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
  // First offset whose record is not older than `timestamp`.
  Offset offset_at(std::int64_t timestamp) const;
  static std::int64_t timestamp_of(Offset offset);
  // Bytes of the batches from `from` on.
  Bytes bytes_from(Offset from) const;

  // --- what was promised ---
  std::size_t sent = 0;          // batches that may be there
  std::size_t acknowledged = 0;  // batches that must be there
  Offset readable{0};            // a high watermark that some reader saw; it never falls
  Offset log_start{0};           // the highest that some reader saw; it never falls
  Offset acknowledged_end() const { return base(acknowledged); }
  void on_power_cut();  // of the broker's machine: with page-cache, nothing more is promised

  // Why `records`, read at `asked`, are not what they must be; nothing when they are. `next` moves behind them.
  std::optional<std::string> check(const Slices& records, Offset asked, Offset limit, Offset& next) const;

 private:
  std::optional<std::string> check_batch(log::BatchView batch) const;

  PartitionPlan plan_;
  std::uint64_t seed_;
  std::vector<Offset> bases_;    // one more than batches
  std::vector<Buffer> batches_;  // without a producer
};

}  // namespace forelog::simulation
