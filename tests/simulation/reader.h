// reader.h: consumers without a group: they seek at will and check every byte.
#pragma once

#include "broker/env/task.h"
#include "tests/simulation/fetch_session.h"
#include "tests/simulation/trial.h"
#include "tests/simulation/wire_client.h"

namespace forelog::simulation {

// Reads here and there until the trial stops.
Task<void> read_at_random(Trial& trial, std::uint64_t seed);

// Reads `model` from its start to its end; in `content` a hash of all records and their offsets, or of the newest of
// each key where the topic is compacted. Fails at any error: for the end of a run, when nothing is broken.
Task<Result<void>> read_whole(Trial& trial, PartitionModel& model, std::uint64_t seed, std::uint64_t& content);

// Asks for one offset: a time, or one of Kafka's questions (below zero).
struct FoundOffset {
  Offset offset;
  std::int64_t timestamp = -1;
};
Task<Result<FoundOffset>> look_up_offset(Trial& trial, WireClient& client, const PartitionModel& model,
                                         std::int64_t time);
Task<Result<Offset>> ask_offset(Trial& trial, WireClient& client, const PartitionModel& model, std::int64_t time);

// Reads once from each of `from`, checks what comes, and moves the offsets on. Used by all consumers here.
struct Position {
  PartitionModel* model;
  Offset offset;
};
struct FetchLimits {
  Bytes partition_max = 64_KiB;
  Bytes max = 1_MiB;
  Bytes min = 1;
  std::int32_t wait_ms = 200;
};
// What was read of one partition.
struct Content {
  std::uint64_t hash = 0;         // of all records and their offsets
  PartitionModel::Newest newest;  // of compacted topics
};
struct FetchExtras {
  FetchSession* session = nullptr;  // fetches go on in it
  Content* content = nullptr;       // what comes is added to it
};
// Yields how many bytes came. Partitions answered with an error stay where they are, or move to a legal offset.
Task<Result<Bytes>> fetch_once(Trial& trial, WireClient& client, std::vector<Position>& from, FetchLimits limits,
                               wire::Version version, FetchExtras extras = {});

}  // namespace forelog::simulation
