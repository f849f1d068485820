// producer.h: the only producer of one partition: idempotent, some batches in flight, and as stubborn as a real one.
#pragma once

#include "broker/env/task.h"
#include "tests/simulation/trial.h"

namespace forelog::simulation {

// Writes all batches of `model`; ends when the last one is acknowledged.
Task<void> produce_all(Trial& trial, PartitionModel& model, std::uint64_t seed);

}  // namespace forelog::simulation
