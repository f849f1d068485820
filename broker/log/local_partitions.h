// local_partitions.h: which partitions have anything on this broker's disk.
//
// Of a hundred thousand partitions most are idle, and many were never written to. Those cost no look-up when they are
// opened and no directory; the directories of those written to first are made together, with one sync. One core.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"
#include "broker/log/catalog.h"

#include <memory>
#include <optional>
#include <set>
#include <unordered_set>
#include <vector>

namespace forelog::log {

// What the catalog or a directory of segments under `directory` names. Of partitions that were open when the broker
// went down, what was never checkpointed is not in the catalog yet, and may have a directory.
Task<Result<std::set<PartitionKey>>> stored_partitions(env::Env& env, env::Path directory, Catalog& catalog);

class LocalPartitions {
 public:
  // `directory` of all segments.
  LocalPartitions(env::Env& env, env::Path directory);
  ~LocalPartitions();  // nobody waits in make_directory

  // Looks at directories and catalog, after the write-ahead log was replayed. Before it, any partition is known.
  Task<Result<void>> load(Catalog& catalog);
  // Whether it may have a directory, or an entry in the catalog.
  bool is_known(PartitionKey partition) const { return !loaded_ || known_.contains(partition); }
  void note(PartitionKey partition) { known_.insert(partition); }  // before anything of it is stored
  void forget(PartitionKey partition) { known_.erase(partition); }

  // Makes the partition's directory, durably; none is wrong about it when it is there already.
  Task<Result<void>> make_directory(PartitionKey partition);

 private:
  // Directories made under one sync.
  struct Round {
    explicit Round(env::Clock& clock) : done(clock) {}
    std::vector<env::Path> paths;
    std::optional<Result<void>> outcome;
    Event done;
  };
  static Task<void> work(LocalPartitions& self);
  Task<Result<void>> make(std::vector<env::Path> paths);

  env::Env& env_;
  env::Path directory_;
  std::unordered_set<PartitionKey> known_;
  bool loaded_ = false;
  std::shared_ptr<Round> next_;
  bool working_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog::log
