// simulated_files.h: Files over a SimulatedDisk, with time and faults.
#pragma once

#include "broker/env/files.h"
#include "broker/env/simulated/faults.h"
#include "broker/env/simulated/simulated_cores.h"
#include "broker/env/simulated/simulated_disk.h"

#include <vector>

namespace forelog::env {

class SimulatedFiles final : public Files {
 public:
  SimulatedFiles(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults, SimulatedDisk& disk)
      : scheduler_(scheduler), cores_(cores), faults_(faults), disk_(disk) {}

  Task<Result<FilePtr>> open(Path path, OpenMode mode) override;
  Task<Result<void>> rename(Path from, Path to) override;
  Task<Result<void>> remove(Path path) override;
  Task<Result<std::vector<std::string>>> list(Path directory) override;
  Task<Result<void>> create_directories(Path path) override;
  Task<Result<void>> sync_directory(Path path) override;
  Task<Result<Bytes>> free_space(Path directory) override;

  Bytes free();
  void crash() { claimed_ = 0; }  // what was being written is not written on

 private:
  class OpenFile;
  // Takes as long as one disk operation, and may fail as one.
  Task<Result<void>> operate(Path path);
  Result<void> refuse_changes(const Path& path) const;

  struct Returning {
    Instant at;
    Bytes bytes;
  };
  Scheduler& scheduler_;
  SimulatedCores& cores_;
  const Faults& faults_;
  SimulatedDisk& disk_;
  std::vector<Returning> returning_;  // of removed files, not yet given back
  Bytes claimed_ = 0;                 // by growing files that leave room on the disk
};

}  // namespace forelog::env
