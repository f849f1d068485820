// recovery.h: what a broker does with the write-ahead log of its last life, before any partition opens.
//
// Replays every whole entry into the segments, in order, syncs them, removes the files. Memory stays bounded by one
// file's read window. A torn end is dropped; nobody is asked anything. Crashing during it and starting again is fine.
#pragma once

#include "broker/base/result.h"
#include "broker/env/env.h"
#include "broker/log/wal.h"

#include <cstdint>

namespace forelog::log {

struct ReplayReport {
  Wal::Position next;  // where a new write-ahead log begins
  std::int64_t files = 0;
  std::int64_t entries = 0;
  Bytes bytes = 0;
  bool torn = false;  // the newest file ended in a cut-off entry, as after a crash
};

// `wal_directory` is WalSettings::directory, `segments_directory` LogContext::directory. Core 0, before Wal::start.
Task<Result<ReplayReport>> replay_wal(env::Env& env, env::Path wal_directory, env::Path segments_directory);

// Where a partition's segments lie, and what they are called: "<directory>/<topic id>-<partition>",
// "<base, 20 digits>.<generation>.log".
env::Path partition_directory(const env::Path& segments_directory, PartitionKey partition);
env::Path segment_path(const env::Path& segments_directory, ShardId shard);
struct SegmentName {
  Offset base;
  Generation generation;
};
std::optional<SegmentName> parse_segment_name(std::string_view name);

}  // namespace forelog::log
