#include "broker/cluster/chain_record.h"

#include "broker/base/json.h"
#include "broker/base/limits.h"
#include "broker/base/versions.h"

namespace forelog::cluster {
namespace {

constexpr std::int32_t kVersion = 1;

bool is_possible(const ChainShard& shard) {
  return shard.base >= Offset(0) && shard.end > shard.base && shard.generation >= Generation(0) && shard.size > 0 &&
         shard.size <= kShardSizeMax && shard.footer > 0 && shard.footer <= kFooterSizeMax &&
         shard.epochs.size() % 2 == 0 && (shard.access.empty() || shard.access.size() == 3);
}

}  // namespace

ChainShard ChainShard::of(const log::ShardDescriptor& shard) {
  ChainShard out;
  out.base = shard.base;
  out.end = shard.end;
  out.generation = shard.generation;
  out.size = shard.size;
  out.footer = shard.footer_size;
  out.first_timestamp = shard.first_timestamp;
  out.max_timestamp = shard.max_timestamp;
  out.created = shard.created_ms;
  out.sealed = shard.sealed_ms;
  for (const auto& begins : shard.epochs) {
    out.epochs.push_back(begins.epoch.value());
    out.epochs.push_back(begins.start.value());
  }
  if (shard.access.reads > 0) out.access = {shard.access.reads, shard.access.bytes, shard.access.last_read_ms};
  return out;
}

log::ShardDescriptor ChainShard::descriptor() const {
  log::ShardDescriptor out;
  out.base = base;
  out.end = end;
  out.generation = generation;
  out.state = log::ShardState::archived;
  out.local = false;
  out.archived = true;
  out.size = size;
  out.footer_size = footer;
  out.first_timestamp = first_timestamp;
  out.max_timestamp = max_timestamp;
  out.created_ms = created;
  out.sealed_ms = sealed;
  for (std::size_t i = 0; i + 1 < epochs.size(); i += 2) {
    out.epochs.push_back({Epoch(static_cast<std::int32_t>(epochs[i])), Offset(epochs[i + 1])});
  }
  if (access.size() == 3) out.access = {access[0], access[1], access[2]};
  return out;
}

std::string chain_path(const PartitionKey& partition) {
  return "/forelog/chains/" + partition.topic.text() + "/" + std::to_string(partition.partition.value());
}

std::string encode_chain_record(const ChainRecord& record) { return to_json(record); }

Result<ChainRecord> decode_chain_record(const PartitionKey& partition, std::string_view text) {
  auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kCorruptFile, chain_path(partition) + ": " + std::string(what));
  };
  auto record = from_json<ChainRecord>(text);
  if (!record) return bad(record.error().context);
  if (record->version < 1 || record->version > kVersion) {
    return bad(unknown_version("chain record", record->version, kVersion));
  }
  const auto& shards = record->shards;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (!is_possible(shards[i])) return bad("shard " + std::to_string(i) + " is impossible");
    if (i > 0 && shards[i - 1].end != shards[i].base)
      return bad("shard " + std::to_string(i) + " does not follow the last");
  }
  return record;
}

}  // namespace forelog::cluster
