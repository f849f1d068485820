// disk_files.h: Files on the local disk, by blocking calls on the threads of a pool.
#pragma once

#include "broker/env/files.h"
#include "broker/env/real/blocking_pool.h"
#include "broker/env/real/disk_room.h"

#include <memory>

namespace forelog::env {

class DiskFiles final : public Files {
 public:
  explicit DiskFiles(BlockingPool& pool, Bytes reserve = kDiskReserve) : pool_(pool), reserve_(reserve) {}

  Task<Result<FilePtr>> open(Path path, OpenMode mode) override;
  Task<Result<void>> rename(Path from, Path to) override;
  Task<Result<void>> remove(Path path) override;
  Task<Result<std::vector<std::string>>> list(Path directory) override;
  Task<Result<void>> create_directories(Path path) override;
  Task<Result<void>> sync_directory(Path path) override;
  Task<Result<Bytes>> free_space(Path directory) override;

 private:
  BlockingPool& pool_;
  Bytes reserve_;
  std::shared_ptr<DiskRoom> room_ = std::make_shared<DiskRoom>();  // of files that may outlive this
};

}  // namespace forelog::env
