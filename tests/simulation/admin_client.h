// admin_client.h: what administrators do while others work: records are deleted, a topic comes and goes.
#pragma once

#include "broker/env/task.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/trial.h"

namespace forelog::simulation {

// Makes a topic; it is there when this succeeds, also if an earlier attempt had made it.
Task<Result<TopicId>> create_topic(Trial& trial, const TopicPlan& plan);

// Deletes records of the partitions whose plan allows it, until the trial stops.
Task<void> delete_records(Trial& trial, std::uint64_t seed);

// A topic that is made, written, read, deleted while that goes on, and made again under the same name, `times` times;
// the last one stays, and is written to its end.
Task<void> come_and_go(Trial& trial, int times, std::uint64_t seed);

// No group has an offset left that it committed in a topic before that was deleted.
Task<Result<void>> check_forgotten_offsets(Trial& trial);

}  // namespace forelog::simulation
