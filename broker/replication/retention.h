// retention.h: which shards go, and which leave the local disk. Pure.
#pragma once

#include "broker/base/time.h"
#include "broker/log/chain.h"
#include "broker/log/topic_settings.h"

#include <vector>

namespace forelog::replication {

struct RetentionDecision {
  Offset log_start;                 // whole shards that end at or before it are to go, wherever they lie
  std::vector<ShardId> drop_local;  // archived shards whose local bytes are to go, oldest first
};

// Kafka's meaning of retention.ms, retention.bytes, local.retention.ms and local.retention.bytes (KIP-405):
// - by time a shard goes when its largest timestamp is older; a shard without timestamps goes by when it was sealed;
// - by size the oldest go as long as what stays is at least the limit, so never less than the limit is kept;
// - only from the old end, and never the shard that is appended to or not sealed yet;
// - local bytes go only when the archive has them; with remote.storage.enable=false nothing leaves the disk alone.
// A topic that only compacts keeps everything.
RetentionDecision decide_retention(const log::Chain& chain, const log::TopicSettings& settings, Offset high_watermark,
                                   Offset log_start, WallTime now);

}  // namespace forelog::replication
