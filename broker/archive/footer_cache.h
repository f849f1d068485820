// footer_cache.h: footers of archived shards: the indexes that turn offsets into blocks, and the checksums of blocks.
//
// One per core, used on that core. Kept in memory within a budget, in the local catalog so that no read pays a second
// round trip, and always in the archive. A footer is loaded by one task at a time; others join.
#pragma once

#include "broker/archive/failure_log.h"
#include "broker/archive/shard_object.h"
#include "broker/base/metrics.h"
#include "broker/env/cores.h"
#include "broker/env/event.h"
#include "broker/env/random.h"
#include "broker/env/task_group.h"
#include "broker/log/catalog.h"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::archive {

using FooterPtr = std::shared_ptr<const log::Footer>;

class FooterCache {
 public:
  struct Parts {
    env::Cores& cores;
    env::Clock& clock;
    env::Random& random;
    env::ObjectStore& store;
    log::Catalog& catalog;
    MetricsRegistry& metrics;
  };
  FooterCache(Parts parts, std::string prefix, Bytes memory, Duration load_timeout, Duration failure_memory);
  ~FooterCache();
  Task<void> stop();

  // The footer if it is in memory.
  FooterPtr find(const ShardId& shard);
  Instant in_memory_since(const ShardId& shard) const;  // the epoch when it is not
  // Why the last load failed, for a moment; it is not tried again meanwhile.
  std::optional<Error> recent_failure(const ShardId& shard) const;
  // Starts loading it unless it is here or on its way; `landed`, if any, is notified when it came or failed.
  // Never waits.
  void load(const ShardId& shard, std::optional<ObjectShape> shape, std::shared_ptr<Event> landed);
  // Errors: Timeout, and those of read_footer.
  Task<Result<FooterPtr>> get(ShardId shard, std::optional<ObjectShape> shape, Deadline deadline);

  // Says in the log, once in a while, why the shard cannot be read although its footer can.
  void note_unreadable(const ShardId& shard, const Error& error);

  // The shard is gone; its copy in the catalog goes with its descriptor.
  void forget(const ShardId& shard);

  Bytes used() const { return used_; }

 private:
  struct Entry {
    ShardId shard;
    FooterPtr footer;
    Bytes size;
    Instant in_memory;
  };
  struct Loading {
    std::vector<std::shared_ptr<Event>> waiters;
  };
  struct Failure {
    Error error;
    Instant until;
  };
  void start(const ShardId& shard, std::optional<ObjectShape> shape);
  Task<void> run(ShardId shard, std::optional<ObjectShape> shape);
  Task<Result<FooterPtr>> read(ShardId shard, std::optional<ObjectShape> shape);
  void insert(FooterPtr footer);

  Parts parts_;
  std::string prefix_;
  Bytes memory_;
  Duration load_timeout_;
  Duration failure_memory_;
  Bytes used_ = 0;
  bool stopping_ = false;
  std::list<Entry> entries_;  // most recently used last
  std::unordered_map<ShardId, std::list<Entry>::iterator> index_;
  std::unordered_map<ShardId, Loading> loading_;
  std::unordered_map<ShardId, Failure> failures_;
  FailureLog failure_log_;
  Counter catalog_loads_, archive_loads_, failed_loads_;
  Gauge bytes_;
  TaskGroup tasks_;
};

}  // namespace forelog::archive
