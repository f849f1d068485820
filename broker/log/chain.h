// chain.h: the shards of a partition in order, and what is known of each.
//
// Pure. Invariant: shards are contiguous (no gap, no overlap), at most the last is open, and none but the last is
// empty.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::log {

// open: appended to. cut: its end is fixed, but the high watermark has not passed it, so truncation may reopen it.
// sealed: immutable, with a footer. archived: an object in the archive, named by the partition's chain record.
enum class ShardState : std::uint8_t { open, cut, sealed, archived };
constexpr std::array<std::string_view, 4> enum_names(ShardState) { return {"open", "cut", "sealed", "archived"}; }
constexpr std::string_view name_of(ShardState state) { return enum_names(state)[static_cast<std::size_t>(state)]; }

// Where a leader epoch begins.
struct EpochStart {
  Epoch epoch = kNoEpoch;
  Offset start = kNoOffset;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("epoch", m.epoch);
    field("start", m.start);
  };
  friend bool operator==(const EpochStart&, const EpochStart&) = default;
};

// How much of a shard was read, for `forelog shards` and for placement.
struct AccessSummary {
  std::int64_t reads = 0;
  Bytes bytes = 0;
  std::int64_t last_read_ms = -1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("reads", m.reads);
    field("bytes", m.bytes);
    field("last_read_ms", m.last_read_ms);
  };
  friend bool operator==(const AccessSummary&, const AccessSummary&) = default;
};

struct ShardDescriptor {
  Offset base{0};
  Generation generation{0};
  Offset end{0};  // exclusive
  ShardState state = ShardState::open;
  bool local = true;                  // this broker has the segment
  bool archived = false;              // the archive has the object
  Bytes size = 0;                     // of the batches, without the footer
  Bytes footer_size = 0;              // 0 until sealed
  std::int64_t first_timestamp = -1;  // of the first batch, by its producer's clock; -1 while empty
  std::int64_t max_timestamp = -1;
  std::vector<EpochStart> epochs;  // that occur in the shard; the first one's start is `base`
  std::int64_t created_ms = 0;     // wall clock
  std::int64_t sealed_ms = 0;
  AccessSummary access;

  Bytes object_size() const { return size + footer_size; }
  bool contains(Offset offset) const { return base <= offset && offset < end; }
  std::string text() const;  // "[0, 120) sealed, archived, 4096 bytes"

  static constexpr auto fields = [](auto& m, auto&& field) {
    field("base", m.base);
    field("generation", m.generation);
    field("end", m.end);
    field("state", m.state);
    field("local", m.local);
    field("archived", m.archived);
    field("size", m.size);
    field("footer_size", m.footer_size);
    field("first_timestamp", m.first_timestamp);
    field("max_timestamp", m.max_timestamp);
    field("epochs", m.epochs);
    field("created_ms", m.created_ms);
    field("sealed_ms", m.sealed_ms);
    field("access", m.access);
  };
  friend bool operator==(const ShardDescriptor&, const ShardDescriptor&) = default;
};

class Chain {
 public:
  explicit Chain(PartitionKey partition) : partition_(partition) {}
  // Fails CorruptFile, naming the place, when the shards leave a gap, overlap, or one but the last is open or empty.
  static Result<Chain> make(PartitionKey partition, std::vector<ShardDescriptor> shards);

  PartitionKey partition() const { return partition_; }
  ShardId id_of(const ShardDescriptor& shard) const { return {partition_, shard.base, shard.generation}; }
  const std::vector<ShardDescriptor>& shards() const { return shards_; }
  bool empty() const { return shards_.empty(); }
  Offset start() const;  // 0 when empty
  Offset end() const;

  // The shard that holds `offset`, or null; the open shard also holds its own end.
  const ShardDescriptor* find(Offset offset) const;
  const ShardDescriptor* find(ShardId id) const;
  ShardDescriptor* find(ShardId id);
  const ShardDescriptor* open() const;  // the open shard, or null
  ShardDescriptor* open();

  // Adds a shard that begins at the end; the last one must not be open. CHECKs the invariant.
  void append(ShardDescriptor shard);
  // Swaps the shards that cover exactly [shard.base, shard.end) for one of a higher generation; those at its beginning
  // may be gone from the front of the chain already. Fails Conflict.
  Result<void> replace(ShardDescriptor shard);
  // Removes whole shards that end at or before `offset`; never the last one. Returns them.
  std::vector<ShardDescriptor> drop_front(Offset offset);
  // Removes shards that begin at or after `offset`, but keeps the first; the shard then last becomes open with that
  // end if it reached beyond. Returns the removed ones.
  std::vector<ShardDescriptor> drop_back(Offset offset);

  std::string text() const;  // one line a shard

 private:
  PartitionKey partition_;
  std::vector<ShardDescriptor> shards_;
};

}  // namespace forelog::log
