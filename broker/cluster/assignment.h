// assignment.h (pure): where the replicas of new partitions go, and who leads.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/cluster/records.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace forelog::cluster {

// A broker that may get replicas.
struct Candidate {
  BrokerId id;
  std::optional<std::string> rack;
};

// Replicas for partitions `first`, `first + 1`, …, `count` of them: leaders in turn over all brokers beginning at
// `start`, followers shifted by one more each round, replicas of a partition in as many racks as there are.
// InvalidReplicationFactor when there are fewer brokers than replicas.
Result<std::map<PartitionId, Replicas>> assign_replicas(std::vector<Candidate> brokers, PartitionId first,
                                                        std::int32_t count, std::int32_t replication_factor,
                                                        std::uint64_t start);

// Whether an assignment given by a client can be carried out: partitions `first`, `first + 1`, … without gap, each with
// as many replicas as the others, no broker twice, all of them known. InvalidReplicaAssignment with Kafka's reason.
Result<void> check_assignment(const std::map<PartitionId, Replicas>& assignment, PartitionId first,
                              const std::set<BrokerId>& brokers);

// The state of a partition that never had one: the first live replica leads, the live ones are in sync. Leader -1 when
// none lives.
PartitionStateRecord first_state(const Replicas& replicas, const std::set<BrokerId>& live,
                                 std::int32_t controller_epoch);

// The state after brokers came or went: none when nothing needs to change. The leader is the first live replica in
// sync; else, with `unclean`, the first live one, alone in sync; else nobody. The last one in sync is never taken out.
std::optional<PartitionStateRecord> next_state(const PartitionStateRecord& now, const Replicas& replicas,
                                               const std::set<BrokerId>& live, bool unclean,
                                               std::int32_t controller_epoch);

}  // namespace forelog::cluster
