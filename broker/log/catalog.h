// catalog.h: what this broker knows of its partitions' shards, kept in the local store (LevelDB).
//
// Local shards: the catalog is the truth. Archived ones: the chain in the metadata store is, and the catalog is a copy
// with their footers, so that a read needs no second round trip. Of a shard that still grows, the footer kept is a
// checkpoint: the bytes it covers are in the segment, synced, and recovery starts after them. Keys carry a version
// (FORMAT.md). Any core may call; each partition only from its owner core.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/env/local_store.h"
#include "broker/env/task.h"
#include "broker/log/chain.h"
#include "broker/log/footer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace forelog::log {

// Where a shard begins, and which generation of it.
struct ShardPlace {
  Offset base{0};
  Generation generation{0};
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("base", m.base);
    field("generation", m.generation);
  };
  friend bool operator==(const ShardPlace&, const ShardPlace&) = default;
};

struct PartitionState {
  Offset log_start{0};
  Offset high_watermark{0};
  Offset archived_end{0};  // every record before it is in the archive
  std::vector<EpochStart> epochs;
  std::optional<Offset> compacted_end;   // every record before it has been through a pass of compaction
  std::optional<Generation> generation;  // highest given to a rewritten shard
  // The shard that went last from the front. Its footer stays, for the producers in it: the first shard that is left
  // may not have a footer of its own yet, and recovery begins with them.
  std::optional<ShardPlace> dropped;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("log_start", m.log_start);
    field("high_watermark", m.high_watermark);
    field("archived_end", m.archived_end);
    field("epochs", m.epochs);
    field("compacted_end", m.compacted_end);
    field("generation", m.generation);
    field("dropped", m.dropped);
  };
  friend bool operator==(const PartitionState&, const PartitionState&) = default;
};

struct PartitionEntry {
  PartitionState state;
  std::vector<ShardDescriptor> shards;  // in order of base
};

class Catalog {
 public:
  // Changes to one partition that happen all or none, in order.
  class Change {
   public:
    explicit Change(PartitionKey partition) : partition_(partition) {}
    Change& put_state(const PartitionState& state);
    Change& put_shard(const ShardDescriptor& shard);
    Change& put_footer(ShardId shard, ByteView encoded);
    Change& erase_shard(ShardId shard);  // with its footer
    Change& erase_descriptor(ShardId shard);
    Change& erase_footer(ShardId shard);
    bool empty() const { return batch_.changes.empty(); }

   private:
    friend class Catalog;
    PartitionKey partition_;
    env::StoreBatch batch_;
  };

  explicit Catalog(env::LocalStore& store) : store_(store) {}

  // Fails CorruptFile when a newer release has written here: what it knows of the segments this one does not see, and
  // would take them for leftovers. To be asked first.
  Task<Result<void>> check_version();
  Task<Result<std::vector<PartitionKey>>> partitions();
  // What is known of `partition`: nothing yet is an entry without shards. Fails CorruptFile.
  Task<Result<PartitionEntry>> load(PartitionKey partition);
  Task<Result<Footer>> footer(ShardId shard);  // NotFound, CorruptFile
  Task<Result<void>> commit(Change change, env::Durability durability);
  Task<Result<void>> remove_all(PartitionKey partition);

 private:
  env::LocalStore& store_;
};

// What `PartitionKey::text` wrote.
std::optional<PartitionKey> parse_partition(std::string_view text);

}  // namespace forelog::log
