#include "broker/replication/retention.h"

#include <algorithm>

namespace forelog::replication {
namespace {

using log::ShardDescriptor;
using log::ShardState;

bool is_sealed(const ShardDescriptor& shard) {
  return shard.state == ShardState::sealed || shard.state == ShardState::archived;
}

// Whether all records of `shard` are older than `age`; never when `age` is below zero.
bool outlived(const ShardDescriptor& shard, Duration age, WallTime now) {
  if (age < 0ms) return false;
  auto newest = shard.max_timestamp >= 0 ? shard.max_timestamp : shard.sealed_ms;
  if (newest <= 0 && shard.max_timestamp < 0) return false;  // nothing says how old it is
  return to_ms(now) - newest > to_ms(age);
}

// How many bytes may go and still leave `limit`; none when there is no limit.
Bytes surplus(Bytes size, Bytes limit) { return limit < 0 ? 0 : std::max<Bytes>(0, size - limit); }

}  // namespace

RetentionDecision decide_retention(const log::Chain& chain, const log::TopicSettings& settings, Offset log_start,
                                   WallTime now, Offset unsealed_end) {
  const auto& shards = chain.shards();
  RetentionDecision out;
  out.log_start = log_start;

  Bytes size = 0;
  for (const auto& shard : shards) {
    if (shard.end > log_start) size += shard.size;
  }
  auto spare = settings.deletes() ? surplus(size, settings.retention_bytes) : 0;
  auto kept = shards.begin();
  for (; kept != shards.end(); ++kept) {
    bool gone = kept->end <= log_start;
    bool by_time = settings.deletes() && outlived(*kept, settings.retention, now);
    bool by_size = !gone && kept->size <= spare && spare > 0;
    bool ended = is_sealed(*kept) || (kept->state == ShardState::cut && kept->end <= unsealed_end);
    if (!ended || !(gone || by_time || by_size)) break;
    if (!gone) spare = std::max<Bytes>(0, spare - kept->size);
    out.log_start = std::max(out.log_start, kept->end);
  }
  // Kafka too ends the segment that is written to when its last record has grown too old.
  out.cut = kept != shards.end() && kept->state == ShardState::open && kept->end > kept->base && settings.deletes() &&
            outlived(*kept, settings.retention, now);

  Bytes local_size = 0;
  for (auto at = kept; at != shards.end(); ++at) {
    if (at->local) local_size += at->size;
  }
  auto local_spare = surplus(local_size, settings.local_retention_bytes_effective());
  for (auto at = kept; at != shards.end(); ++at) {
    if (!at->local) continue;
    bool by_time = outlived(*at, settings.local_retention_effective(), now);
    bool by_size = at->size <= local_spare && local_spare > 0;
    if (!at->archived || !is_sealed(*at) || !(by_time || by_size)) break;
    local_spare = std::max<Bytes>(0, local_spare - at->size);
    out.drop_local.push_back(chain.id_of(*at));
  }
  return out;
}

}  // namespace forelog::replication
