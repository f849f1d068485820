// wal.h: the write-ahead log of a broker. One sequential file makes appends to all partitions durable with one sync.
//
// One writer, on core 0; any core submits. A loop takes ALL that is pending, writes it in one gather write, syncs once,
// and answers each core in one post (group commit). Files are reused when every partition in them has its bytes in its
// segments, synced. Layout: FORMAT.md.
//
// A failing disk (full, or errors) does not lose a submission: the round is kept and tried again until it succeeds;
// meanwhile `error()` tells every core, logs refuse appends, and service resumes by itself.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/metrics.h"
#include "broker/base/result.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace forelog::log {

// Number of a record in the write-ahead log; grows for ever.
using Lsn = StrongType<struct LsnTag, std::int64_t>;

// A run of whole batches of one shard.
struct WalEntry {
  ShardId shard;
  Bytes position = 0;  // in the segment
  Slices bytes;
};

struct WalSettings {
  env::Path directory;
  Bytes file_size = 64_MiB;
  Bytes size_max = 1_GiB;  // of all files; near it, partitions are asked to checkpoint, at it, appends wait
};

// What the write-ahead log asks of a partition's log. Called on the core that attached.
class WalClient {
 public:
  virtual ~WalClient() = default;
  virtual void checkpoint_wanted() = 0;
  virtual void wal_state(const std::optional<Error>& error) = 0;  // it fails, for this reason; or works again
};

class Wal {
 public:
  using OnDurable = std::move_only_function<void(Lsn)>;

  // Core 0 makes, starts and stops it.
  Wal(env::Env& env, WalSettings settings, MetricsRegistry& metrics);
  ~Wal();
  // Begins after what recovery found. Files before `next_file` have been replayed and removed.
  struct Position {
    std::int64_t next_file = 1;
    Lsn next_lsn{1};
  };
  Task<Result<void>> start(Position from);
  // Writes what is pending, or gives up at `deadline`; callbacks not yet called never will be. Removes the files if
  // every partition has released what it appended, so that the next start has nothing to replay.
  Task<void> stop(Deadline deadline);

  // Queues `entry`; `on_durable` runs on the calling core when it is on the disk, in the order of submission.
  void append(WalEntry entry, OnDurable on_durable);
  // A later replay ignores what was appended for the shard at and after `position`. Same rules as append.
  void truncate(ShardId shard, Bytes position, OnDurable on_durable);
  // Everything of `partition` up to `lsn` is in its segments, synced: no need to keep it here.
  void release(PartitionKey partition, Lsn lsn);

  // Why nothing can be made durable at the moment, if so. On core 0.
  const std::optional<Error>& failing() const;

  // The partition is deleted, and nothing more will be appended to it: nothing of it needs to be kept, now or ever.
  // Called on the core that appended.
  void forget(PartitionKey partition);
  // Deleted partitions of which something may still be on its way to the disk. On core 0.
  std::size_t forgetting() const;

  // Clients are told on the core they attach from, and only while they live.
  void attach(PartitionKey partition, std::weak_ptr<WalClient> client);
  void detach(PartitionKey partition);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;  // shared with work posted to cores
};

}  // namespace forelog::log
