// simulated_archive.h: one object store of the simulated world, and each machine's way to it.
#pragma once

#include "broker/env/object_store.h"
#include "broker/env/simulated/faults.h"
#include "broker/env/simulated/simulated_cores.h"

#include <map>

namespace forelog::env {

// What the store holds. Tests may look and meddle.
using SimulatedObjects = std::map<std::string, Buffer>;

class SimulatedArchive final : public ObjectStore {
 public:
  SimulatedArchive(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults, SimulatedObjects& objects)
      : scheduler_(scheduler), cores_(cores), faults_(faults), objects_(objects) {}

  Task<Result<void>> put(std::string key, ObjectContent& content, Deadline deadline) override;
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, TrafficClass traffic,
                               Deadline deadline) override;
  Task<Result<ObjectInfo>> head(std::string key, Deadline deadline) override;
  Task<Result<void>> remove(std::string key, Deadline deadline) override;
  Task<Result<std::vector<ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                             Deadline deadline) override;

  // Requests begun by this machine, and the bytes they brought: what a test or a simulation counts.
  struct Traffic {
    std::uint64_t gets = 0;
    std::uint64_t puts = 0;
    Bytes bytes_read = 0;
  };
  const Traffic& traffic() const { return traffic_; }

 private:
  // The time until the store answers, and whether it does.
  Task<Result<void>> travel(std::string key, Deadline deadline);
  Task<void> pause(Duration wait);
  void store(const std::string& key, Buffer object);
  bool is_missing(const std::string& key);

  Scheduler& scheduler_;
  SimulatedCores& cores_;
  const Faults& faults_;
  SimulatedObjects& objects_;
  Traffic traffic_;
  std::map<std::string, Instant> put_at_;
};

}  // namespace forelog::env
