#include "broker/cluster/assignment.h"

#include <algorithm>

namespace forelog::cluster {
namespace {

// Brokers so ordered that neighbours are in different racks as long as possible.
std::vector<BrokerId> alternate_racks(const std::vector<Candidate>& brokers) {
  std::map<std::string, std::vector<BrokerId>> racks;
  for (const auto& broker : brokers) racks[broker.rack.value_or("")].push_back(broker.id);
  std::vector<BrokerId> out;
  for (std::size_t round = 0; out.size() < brokers.size(); ++round) {
    for (auto& [rack, ids] : racks) {
      if (round == 0) std::ranges::sort(ids);
      if (round < ids.size()) out.push_back(ids[round]);
    }
  }
  return out;
}

bool contains(const Replicas& replicas, BrokerId id) { return std::ranges::find(replicas, id) != replicas.end(); }

}  // namespace

Result<std::map<PartitionId, Replicas>> assign_replicas(std::vector<Candidate> brokers, PartitionId first,
                                                        std::int32_t count, std::int32_t replication_factor,
                                                        std::uint64_t start) {
  if (replication_factor <= 0) {
    return fail(ErrorCode::kInvalidReplicationFactor, "Replication factor must be larger than 0.");
  }
  if (static_cast<std::size_t>(replication_factor) > brokers.size()) {
    return fail(ErrorCode::kInvalidReplicationFactor,
                "Replication factor: " + std::to_string(replication_factor) +
                    " larger than available brokers: " + std::to_string(brokers.size()) + ".");
  }
  std::map<BrokerId, std::string> rack_of;
  std::set<std::string> racks;
  for (const auto& broker : brokers) racks.insert(rack_of[broker.id] = broker.rack.value_or(""));
  auto order = alternate_racks(brokers);
  auto size = order.size(), wanted = static_cast<std::size_t>(replication_factor);

  std::map<PartitionId, Replicas> out;
  for (std::int32_t i = 0; i < count; ++i) {
    auto position = static_cast<std::size_t>(first.value() + i) + start % size;
    auto leader = position % size;
    auto shift = 1 + position / size % std::max<std::size_t>(size - 1, 1);
    Replicas replicas{order[leader]};
    std::set<std::string> racks_used{rack_of[order[leader]]};
    // First one broker of each rack not used yet, then whoever is left.
    for (bool any_rack : {false, true}) {
      for (std::size_t step = 0; step + 1 < size && replicas.size() < wanted; ++step) {
        auto next = order[(leader + 1 + (shift - 1 + step) % (size - 1)) % size];
        if (contains(replicas, next)) continue;
        if (!any_rack && racks_used.size() < racks.size() && racks_used.contains(rack_of[next])) continue;
        racks_used.insert(rack_of[next]);
        replicas.push_back(next);
      }
    }
    out.emplace(first + i, std::move(replicas));
  }
  return out;
}

Result<void> check_assignment(const std::map<PartitionId, Replicas>& assignment, PartitionId first,
                              const std::set<BrokerId>& brokers) {
  auto refuse = [](std::string why) { return fail(ErrorCode::kInvalidReplicaAssignment, std::move(why)); };
  auto expected = first;
  for (const auto& [partition, replicas] : assignment) {
    auto name = "partition " + std::to_string(partition.value());
    if (partition != expected) {
      return refuse("partitions should be a consecutive 0-based integer sequence; missing " +
                    std::to_string(expected.value()));
    }
    ++expected;
    if (replicas.empty()) return refuse("Cannot have replication factor of 0 for " + name);
    if (std::set(replicas.begin(), replicas.end()).size() != replicas.size()) {
      return refuse("Duplicate brokers not allowed in replica assignment for " + name);
    }
    if (replicas.size() != assignment.begin()->second.size()) {
      return refuse("All partitions should have the same number of replicas; " + name + " differs");
    }
    for (auto broker : replicas) {
      if (!brokers.contains(broker)) {
        return refuse("Unknown broker(s) in replica assignment: " + std::to_string(broker.value()) + ".");
      }
    }
  }
  return {};
}

PartitionStateRecord first_state(const Replicas& replicas, const std::set<BrokerId>& live,
                                 std::int32_t controller_epoch) {
  PartitionStateRecord state;
  state.controller_epoch = controller_epoch;
  for (auto replica : replicas) {
    if (live.contains(replica)) state.isr.push_back(replica);
  }
  if (!state.isr.empty())
    state.leader = state.isr.front();
  else
    state.isr = replicas;  // whoever comes back first may lead: nothing was ever written
  return state;
}

std::optional<PartitionStateRecord> next_state(const PartitionStateRecord& now, const Replicas& replicas,
                                               const std::set<BrokerId>& live, bool unclean,
                                               std::int32_t controller_epoch) {
  Replicas in_sync;
  for (auto replica : now.isr) {
    if (live.contains(replica)) in_sync.push_back(replica);
  }
  auto next = now;
  next.controller_epoch = controller_epoch;
  if (in_sync.empty()) {
    auto survivor = std::ranges::find_if(replicas, [&](BrokerId id) { return live.contains(id); });
    if (unclean && survivor != replicas.end()) {
      next.leader = *survivor;
      next.isr = {*survivor};
    } else {
      if (now.leader.value() < 0) return std::nullopt;
      next.leader = BrokerId(-1);
    }
  } else if (live.contains(now.leader) && contains(in_sync, now.leader)) {
    if (in_sync.size() == now.isr.size()) return std::nullopt;
    next.isr = in_sync;
  } else {
    auto heir = std::ranges::find_if(replicas, [&](BrokerId id) { return contains(in_sync, id); });
    next.leader = heir != replicas.end() ? *heir : in_sync.front();
    next.isr = in_sync;
  }
  next.leader_epoch = now.leader_epoch + 1;
  return next;
}

}  // namespace forelog::cluster
