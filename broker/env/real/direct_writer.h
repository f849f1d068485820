// direct_writer.h: writes to a file past the system's page cache (O_DIRECT), at any position and of any size.
//
// For files that are written front to back, synced at every step and read only by the next start: the write-ahead log.
// Such bytes need not lie in the page cache, and to put them there costs more than all else that a write does. A file
// system that cannot do it gets ordinary writes.
//
// What goes to the disk are whole blocks of kBlockSize: the last one is filled up with zeros, kept, and written again
// with what comes behind. Those of its bytes that are there already do not change by that, so a torn write harms none.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/real/posix_file.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

namespace forelog::env {

class DirectWriter {
 public:
  static constexpr std::size_t kBlockSize = 4096;

  // Of a file that is there. Fails as PosixFile::open.
  static Result<std::unique_ptr<DirectWriter>> open(const std::string& path);

  // Blocks; any thread. Writes all slices one after another at `offset`; what lay behind them in their last block is
  // zeros afterwards. With `sync`, they are on the disk when it returns. A write that failed may be repeated; what was
  // written before it is there in any case.
  Result<void> write(std::int64_t offset, const Slices& slices, bool sync);

  bool is_direct() const { return direct_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }  // NOLINT: of aligned_alloc
  };

  DirectWriter(PosixFile file, std::string path, bool direct, Bytes size);
  Result<void> load_last(std::int64_t end);
  Result<void> put(std::int64_t offset, std::size_t size, bool sync);

  std::mutex mutex_;
  PosixFile file_;
  std::string path_;
  bool direct_;
  std::unique_ptr<std::byte[], Free> stage_;  // one piece; what is written lies here
  Bytes size_;                                // of the file, as far as it has been synced
  std::int64_t end_ = -1;                     // of the newest bytes; -1: not known
  std::array<std::byte, kBlockSize> last_{};  // the block that they end in, if they end within one
};

}  // namespace forelog::env
