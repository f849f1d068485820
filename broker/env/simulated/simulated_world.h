// simulated_world.h: machines, a wire between them, a metadata tree and an archive, all in one thread and drawn from
// one seed. The same program run twice with one seed takes the same steps.
//
//   SimulatedWorld world(42);
//   auto& machine = world.machine();
//   Broker broker(machine.env());
//   world.run_until([&] { return broker.ready(); }, 10s);
#pragma once

#include "broker/env/env.h"
#include "broker/env/simulated/simulated_archive.h"
#include "broker/env/simulated/simulated_files.h"
#include "broker/env/simulated/simulated_local_store.h"
#include "broker/env/simulated/simulated_metadata.h"
#include "broker/env/simulated/simulated_network.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace forelog::env {

class SimulatedWorld;

// One computer: cores, a clock, a disk, another for the cache, a network card, a session with the metadata store, a way
// to the archive.
class SimulatedMachine {
 public:
  const std::string& host() const { return host_; }
  Env& env() { return env_; }
  Faults& faults() { return faults_; }
  Faults& cache_faults() { return cache_faults_; }  // of the cache's disk
  SimulatedCores& cores() { return cores_; }
  SimulatedDisk& disk() { return disk_; }
  SimulatedDisk& cache_disk() { return cache_disk_; }
  SimulatedMetadata& metadata() { return metadata_; }
  SimulatedArchive& archive() { return archive_; }
  void jump_wall(Duration by) { cores_.simulated_clock().jump_wall(by); }

 private:
  friend class SimulatedWorld;
  SimulatedMachine(SimulatedWorld& world, int cores, std::string host);

  std::string host_;
  Faults faults_, cache_faults_;
  SeededRandom random_;
  SimulatedCores cores_;
  SimulatedDisk disk_;
  SimulatedFiles files_;
  SimulatedDisk cache_disk_;
  SimulatedFiles cache_files_;
  SimulatedNetwork network_;
  SimulatedLocalStore local_;
  SimulatedMetadata metadata_;
  SimulatedArchive archive_;
  Env env_;
};

class SimulatedWorld {
 public:
  explicit SimulatedWorld(std::uint64_t seed);
  ~SimulatedWorld();
  SimulatedWorld(const SimulatedWorld&) = delete;
  SimulatedWorld& operator=(const SimulatedWorld&) = delete;

  // A new machine; without a name it is called m0, m1, …
  SimulatedMachine& machine(int cores = 1, std::string host = {});

  // Ends all that runs on `machine`, at once. Its tasks never run again and nothing of theirs is destroyed, so objects
  // they refer to must be left alone: hand them to `abandon`. The disk and the local store lose what was not durable:
  // some of it, or all. Other machines see connections reset, and ephemeral znodes go when the session has timed out.
  enum class Loss : std::uint8_t { some, all };
  void crash(SimulatedMachine& machine, Loss loss = Loss::some);
  // Starts a crashed machine, with nothing running. Its `Env` is the one it had.
  void restart(SimulatedMachine& machine);

  // Runs until `done`, or until `limit` of virtual time has passed; says whether `done` came.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void run_for(Duration time);

  // Runs `action` later, outside all machines: what breaks things in the middle of a run.
  void after(Duration delay, std::move_only_function<void()> action) { scheduler_.after(delay, std::move(action)); }

  Instant now() const { return scheduler_.now(); }
  SeededRandom& random() { return scheduler_.random(); }
  SimulatedObjects& objects() { return objects_; }
  std::uint64_t events() const { return scheduler_.events(); }
  std::uint64_t trace_hash() const { return scheduler_.trace_hash(); }
  void trace(std::uint64_t value) { scheduler_.trace(value); }

 private:
  friend class SimulatedMachine;
  Scheduler scheduler_;
  SimulatedWire wire_;
  SimulatedTree tree_;
  SimulatedObjects objects_;
  std::vector<std::unique_ptr<SimulatedMachine>> machines_;
};

}  // namespace forelog::env
