// directory_object_store.h: an archive in a directory. A key is a path below it.
//
// Any core may call. It has threads of its own, so that cold reads never keep the log's writes waiting. An object
// appears whole, by renaming, once it is on the disk; a broker killed in the middle leaves only a file under
// ".uploading", which the next one removes once it may (`claim`). While the directory is gone (a volume not mounted),
// every call fails with ArchiveUnavailable and none creates it anew.
#pragma once

#include "broker/env/clock.h"
#include "broker/env/object_store.h"
#include "broker/env/random.h"
#include "broker/env/real/blocking_pool.h"

#include <memory>
#include <string>

namespace forelog::env {

class DirectoryObjectStore final : public ObjectStore {
 public:
  // With `clears_uploads`, as for a broker, creates `directory` when missing, and `claim` removes what a crash left;
  // without, NotFound when it is missing. Every answer comes
  // `first_byte_delay` late, as from a distant store; requests wait beside each other. Blocks.
  static Result<std::unique_ptr<DirectoryObjectStore>> open(std::string directory, Clock& clock, Random& random,
                                                            const QuickClients& quick, Duration first_byte_delay,
                                                            int threads, bool clears_uploads);

  Task<Result<void>> put(std::string key, ObjectContent& content, Deadline deadline) override;
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, TrafficClass traffic,
                               Deadline deadline) override;
  Task<Result<ObjectInfo>> head(std::string key, Deadline deadline) override;
  Task<Result<void>> remove(std::string key, Deadline deadline) override;
  Task<Result<std::vector<ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                             Deadline deadline) override;
  void claim() override;

  // Finishes what is queued. While the cores still exist. False when the file system hangs: see BlockingPool.
  [[nodiscard]] bool stop_within(Duration max) { return pool_.stop_within(max); }

 private:
  DirectoryObjectStore(std::string directory, Clock& clock, Random& random, const QuickClients& quick,
                       Duration first_byte_delay, int threads, bool clears_uploads);
  // Checks the key, and waits as long as a distant store would.
  Task<Result<void>> begin(std::string key, Deadline deadline);
  Task<Result<void>> upload(std::string temporary, ObjectContent& content, Deadline deadline);

  std::string directory_;
  const std::string life_;  // how names of what this process uploads begin
  bool clears_uploads_;
  Clock& clock_;
  Random& random_;
  const QuickClients& quick_;
  Duration first_byte_delay_;
  BlockingPool pool_;
};

}  // namespace forelog::env
