// group_store.h: writes what a coordinator must remember to its partition of __consumer_offsets, and reads it back.
//
// One per core. What it reports as written is durable.
#pragma once

#include "broker/env/clock.h"
#include "broker/groups/internal_log.h"
#include "broker/groups/records.h"
#include "broker/groups/settings.h"

#include <functional>

namespace forelog::groups {

class GroupStore {
 public:
  // All outlive the store.
  GroupStore(env::Clock& clock, InternalLog& log, const GroupSettings& settings)
      : clock_(clock), log_(log), settings_(settings) {}

  // Appends `records` in order, in as many batches as they need; none is empty. Yields each record's offset. On an
  // error a first part of them may have been written. Waits at most offsets.commit.timeout.ms a batch.
  Task<Result<std::vector<Offset>>> append(PartitionId partition, std::vector<StoredRecord> records);

  // A group as the log leaves it.
  struct Stored {
    std::optional<GroupSnapshot> snapshot;
    Offsets offsets;
  };
  using StoredGroups = std::map<GroupId, Stored>;
  // Reads the partition from its start to the end that it has at the call. `keep_going` is asked before each read; when
  // it says no, this fails with Stopping. Records that are of a newer kind or make no sense are left out and logged.
  Task<Result<StoredGroups>> load(PartitionId partition, std::function<bool()> keep_going);

 private:
  env::Clock& clock_;
  InternalLog& log_;
  const GroupSettings& settings_;
};

}  // namespace forelog::groups
