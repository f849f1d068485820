// simulated_local_store.h: an ordered map of which a crash takes back the newest unsynced commits.
#pragma once

#include "broker/env/local_store.h"
#include "broker/env/simulated/faults.h"
#include "broker/env/simulated/simulated_cores.h"
#include "broker/env/simulated/simulated_files.h"

#include <map>

namespace forelog::env {

class SimulatedLocalStore final : public LocalStore {
 public:
  // On the disk of `files`.
  SimulatedLocalStore(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults, SimulatedFiles& files)
      : scheduler_(scheduler), cores_(cores), faults_(faults), files_(files) {}

  Task<Result<std::optional<std::string>>> get(std::string key) override;
  Task<Result<void>> commit(StoreBatch batch, Durability durability) override;
  Task<Result<Entries>> scan(std::string from, std::string to, std::size_t limit) override;

  // Unsynced commits are lost from some moment on; with `all`, all of them.
  void crash(bool all);

 private:
  using Map = std::map<std::string, std::string>;
  static void apply(Map& map, const StoreBatch& batch);
  Task<Result<void>> operate();

  Scheduler& scheduler_;
  SimulatedCores& cores_;
  const Faults& faults_;
  SimulatedFiles& files_;
  Map entries_, durable_;
  std::vector<StoreBatch> unsynced_;
};

}  // namespace forelog::env
