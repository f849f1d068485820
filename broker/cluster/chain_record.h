// chain_record.h: the archived part of a partition's chain, as the metadata store has it: /forelog/chains/<topic
// id>/<p>.
//
// The truth about archived shards. Written by the partition's leader alone, by compare-and-set on the version. The
// newest shards stand here, older ones in manifests in the archive (archive/manifest.h). Names are short because the
// record holds up to kChainRecordShardsMax shards in kZnodeSizeMax bytes. Fields are only ever added.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/log/chain.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace forelog::cluster {

struct ChainShard {
  Offset base{0};
  Offset end{0};  // exclusive
  Generation generation{0};
  Bytes size = 0;
  Bytes footer = 0;
  std::int64_t first_timestamp = -1;
  std::int64_t max_timestamp = -1;
  std::int64_t created = 0;
  std::int64_t sealed = 0;
  std::vector<std::int64_t> epochs;  // epoch, start, epoch, start, …
  std::vector<std::int64_t> access;  // reads, bytes, last read at; empty: never read
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("base", m.base);
    field("end", m.end);
    field("gen", m.generation);
    field("size", m.size);
    field("footer", m.footer);
    field("first", m.first_timestamp);
    field("max", m.max_timestamp);
    field("created", m.created);
    field("sealed", m.sealed);
    field("epochs", m.epochs);
    field("access", m.access);
  };
  friend bool operator==(const ChainShard&, const ChainShard&) = default;

  static ChainShard of(const log::ShardDescriptor& shard);
  log::ShardDescriptor descriptor() const;  // archived, not local
};

struct ChainRecord {
  std::int32_t version = 1;
  Epoch leader_epoch = kNoEpoch;  // of the leader that wrote it; an older leader must not write after it
  Offset log_start{0};            // shards that end at or before it are gone, their objects too or soon
  std::string manifest;           // key of the newest manifest; empty: all shards stand here
  std::vector<ChainShard> shards;
  std::optional<Generation> generation;  // highest ever given to a rewritten shard, whether it came to be or not
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("leader_epoch", m.leader_epoch);
    field("log_start", m.log_start);
    field("manifest", m.manifest);
    field("shards", m.shards);
    field("generation", m.generation);
  };
  friend bool operator==(const ChainRecord&, const ChainRecord&) = default;
};

std::string chain_path(const PartitionKey& partition);
std::string encode_chain_record(const ChainRecord& record);
// Fails CorruptFile: not JSON, a version from the future, shards out of order or with impossible sizes.
Result<ChainRecord> decode_chain_record(const PartitionKey& partition, std::string_view text);

}  // namespace forelog::cluster
