// wal_files.h: the files of the write-ahead log and their way round: made ready, written to, kept while somebody needs
// them, used again.
//
// A round shall not wait for a file. To name one durably is a commit of the file system's journal, which waits for the
// segments that are being stored; a file that grows needs one at each sync. So the next file has its name before it is
// wanted, and, where it can, its full size: one that was used before, or for a slow writer one that is filled with
// zeros in advance. Layout: FORMAT.md. Used on core 0 only.
#pragma once

#include "broker/base/result.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace forelog::log {

class WalFiles {
 public:
  struct Open {
    std::int64_t number = 0;
    env::FilePtr file;
    bool overwrites = false;  // it had its full size before
  };

  // `size_max`: of all files in use. Of others there are as many as fit into it, and four more at most: one that stands
  // ready, one that is being filled, and two that are kept in any case.
  WalFiles(env::Env& env, env::Path directory, Bytes file_size, Bytes size_max);

  // Makes the directory, removes what waits there to be used again. The first file is `next_number`.
  Task<Result<void>> start(std::int64_t next_number);

  // The file to go on in, with a durable name; its number is higher than that of each before. It has leftovers of an
  // earlier life, or nothing. `was_full`: the one before is, or cannot be used; else it was left for a better one.
  // Fails with the disk's error.
  Task<Result<Open>> next(bool was_full);
  // Whether a file that is overwritten stands ready.
  bool has_full_sized() const { return ready_ && ready_->overwrites; }

  // Nobody needs file `number` any more, the oldest of `in_use`: it is kept for later if its `size` is about that of a
  // file, or removed.
  Task<Result<void>> retire(std::int64_t number, Bytes size, std::size_t in_use);

  // Nothing more is made ready; what is under way ends soon.
  void interrupt() { stopping_ = true; }
  Task<void> stop();  // waits for it
  // After `stop`: removes these files, and all that was not in use.
  Task<Result<void>> remove_all(std::vector<std::int64_t> in_use);

 private:
  env::Path path(const std::string& name) const { return directory_ + "/" + name; }
  void begin_preparing(bool is_slow);
  Task<void> prepare(bool is_slow);
  Task<Result<void>> make_spare(std::int64_t number);
  Task<Result<void>> fill_with_zeros(env::Path name);
  Task<Result<Open>> name_next();
  Task<void> remove_or_note(env::Path name);

  env::Env& env_;
  env::Path directory_;
  Bytes file_size_;
  Bytes size_max_;
  TaskGroup tasks_;
  Event named_;
  std::deque<std::int64_t> spares_;
  std::vector<env::Path> leftovers_;  // that could not be removed
  std::optional<Open> ready_;
  bool preparing_ = false;
  bool naming_ = false;
  bool stopping_ = false;
  Instant opened_at_{};
  std::int64_t next_number_ = 1;
};

}  // namespace forelog::log
