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
  bool cut = false;                 // all that the open shard holds is too old: end it, so that it can go
  friend bool operator==(const RetentionDecision&, const RetentionDecision&) = default;
};

// Kafka's meaning of retention.ms, retention.bytes, local.retention.ms and local.retention.bytes (KIP-405):
// - by time a shard goes when its largest timestamp is older; one without timestamps goes by when it was sealed;
// - by size the oldest go as long as what stays is at least the limit, so never less than the limit is kept;
// - only from the old end, and only what is sealed; up to `unsealed_end` what has ended is enough;
// - local bytes go only when the archive has them.
// A topic that only compacts loses nothing but what lies before `log_start` (DeleteRecords).
RetentionDecision decide_retention(const log::Chain& chain, const log::TopicSettings& settings, Offset log_start,
                                   WallTime now, Offset unsealed_end = kNoOffset);

}  // namespace forelog::replication
