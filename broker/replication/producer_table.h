// producer_table.h: the idempotent producers of one partition, and the last batches of each.
//
// Pure: derived from the batches of the log alone, so that every replica has the same. Rules and their order are
// Kafka's (reference/protocol.md §6): a duplicate of one of a producer's last five batches is answered with the
// original offset; another sequence must follow the last.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/log/batch.h"

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace forelog::replication {

class ProducerTable {
 public:
  struct Duplicate {
    Offset base;
    Offset last;
    std::int64_t timestamp;  // the batch's max timestamp
  };

  // May `batch` be appended? Nothing: yes. A duplicate: it was, do not append it again. Fails InvalidProducerEpoch,
  // OutOfOrderSequence. Batches without a producer always may. Changes nothing.
  Result<std::optional<Duplicate>> check(log::BatchView batch) const;

  // `batch` was appended, with its final offset; also when the log is read again.
  void add(log::BatchView batch);

  // Whether `batch` is the newest that its producer has in the log.
  bool is_newest(log::BatchView batch) const;

  // Forgets producers whose last batch came more than `idle` ago, by the newest timestamp in the log then and now.
  // By the records' clock, not ours, so that replicas agree.
  void expire(Duration idle);

  // Forgets the producers that have been silent longest, by the log's clock, until no more than `count` are left;
  // returns how many went. What comes from them later is taken as from a producer that nobody knows: any sequence
  // begins (KIP-360), and a repetition of what came before is no longer noticed.
  std::size_t evict_to(std::size_t count);

  struct State {
    ProducerId id;
    std::int16_t epoch = -1;
    std::int32_t last_sequence = -1;
    std::int64_t last_timestamp = -1;
  };
  std::vector<State> list() const;  // by id

  std::size_t size() const { return producers_.size(); }
  ProducerId largest_id() const;                            // -1 when empty
  Buffer snapshot() const;                                  // the same bytes for the same state
  static Result<ProducerTable> restore(ByteView snapshot);  // empty bytes: an empty table. Fails CorruptFile

 private:
  struct Batch {
    std::int32_t first_sequence;
    std::int32_t last_sequence;
    Offset last_offset;
    std::int32_t offset_delta;
    std::int64_t timestamp;
  };
  struct Producer {
    std::int16_t epoch = -1;
    std::uint8_t count = 0;  // of `batches` in use, oldest first
    std::array<Batch, 5> batches{};
    std::int64_t last_timestamp = -1;
  };
  std::unordered_map<ProducerId, Producer> producers_;
  std::int64_t newest_timestamp_ = -1;
};

}  // namespace forelog::replication
