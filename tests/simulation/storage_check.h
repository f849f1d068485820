// storage_check.h: what lies in the archive and on the disk, looked at from outside, against what was written.
#pragma once

#include "broker/env/simulated/simulated_world.h"
#include "broker/env/task.h"
#include "tests/simulation/trial.h"

#include <string>

namespace forelog::simulation {

struct Storage {
  env::SimulatedObjects& objects;
  env::SimulatedDisk& disk;
  std::string archive_prefix = "forelog";
  std::string segments = "/data/segments";
};

// The archived chain of `model`: no gap, no overlap, every object there, and in it what was written; and nothing else,
// where `leftovers_gone` says that the broker has had the time to look for what crashes left.
Task<Result<void>> check_archived(Trial& trial, Storage storage, PartitionModel& model, bool leftovers_gone);

// Of a broker that is stopped, or has just started: every segment holds what was written and what the archive has of
// it, and nothing behind its last whole batch.
void check_segments(Trial& trial, Storage storage);

// At the end: every segment holds what was written and what the archive has of it; nothing is left of topics
// that were deleted.
void check_files(Trial& trial, Storage storage);

// Nothing in the archive is of a topic that was deleted.
void check_deleted_topics(Trial& trial, Storage storage);

}  // namespace forelog::simulation
