// group_member.h: a consumer in a group: joins, is given partitions, resumes where the group stood, reads, commits.
#pragma once

#include "broker/env/task.h"
#include "tests/simulation/trial.h"

namespace forelog::simulation {

// Takes part in `group` until the trial stops; leaves and comes back now and then, and sometimes falls silent. `place`
// counts the group's members: some places belong to static members, who come back under their instance id. Now and then
// it commits what it may not, with a generation or a name that is not its own.
Task<void> take_part(Trial& trial, GroupId group, int place, std::uint64_t seed);

// What the group has committed, against what was acknowledged. Fails at any error: for the end of a run.
Task<Result<void>> check_committed(Trial& trial, GroupId group);

}  // namespace forelog::simulation
