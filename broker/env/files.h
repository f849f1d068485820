// files.h: the local disk. Blocking work happens elsewhere; tasks resume on the core that asked.
//
// Errors: DiskFull, NotFound, Io; each names the path. Paths are absolute or relative to the working directory, with
// '/' between parts.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/task.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace forelog::env {

using Path = std::string;

enum class OpenMode : std::uint8_t {
  read,
  write,          // must exist
  create,         // made when missing
  create_direct,  // the same, for what is written front to back and read by nobody soon: it does not stay in the
                  // system's memory. A write may put zeros behind its end, up to a block's
};

// What appends leave of a disk, which they would fill up otherwise: nothing can be deleted from it without a footer and
// a change of metadata, and the local store takes no change on the last 8 MiB.
inline constexpr Bytes kDiskReserve = 16_MiB;

// What is left of a reserve by those who may use some of it, because more is free when they are through.
constexpr Bytes left_by_what_frees_space(Bytes reserve) { return reserve - reserve / 4; }

class File {
 public:
  virtual ~File() = default;

  // Bytes `[offset, offset + size)`, fewer only at the end of the file.
  virtual Task<Result<Buffer>> read_at(std::int64_t offset, Bytes size) = 0;
  // The same bytes as a buffer that is sent from the file itself. Nothing when some of them are not in the system's
  // memory, so that sending would wait for the disk, or when this file cannot tell. Who asks knows that these bytes
  // stay as they are while the buffer lives.
  virtual std::optional<Buffer> resident(std::int64_t offset, Bytes size) = 0;
  // Writes all slices one after another at `offset`, or fails having written any part of them.
  virtual Task<Result<void>> write_at(std::int64_t offset, Slices slices) = 0;
  // `write_at` for what comes without end: fails DiskFull where the file would grow into the last kDiskReserve. So do
  // the two that are made of it. The default only writes.
  virtual Task<Result<void>> write_leaving_room(std::int64_t offset, Slices slices);
  // The same for what must be written before space can be freed: it may take a quarter of the reserve. The default only
  // writes.
  virtual Task<Result<void>> write_to_free_space(std::int64_t offset, Slices slices);
  // `write_leaving_room`, and the system begins to store what it has got, without anybody waiting: a sync later finds
  // little to do, and the disk is not flooded at once. The default only writes.
  virtual Task<Result<void>> write_and_begin_writeback(std::int64_t offset, Slices slices);
  // What was written before the call is on the disk when it ends (fdatasync).
  virtual Task<Result<void>> sync() = 0;
  // `write_leaving_room`, then `sync`; where the two can be done in one go, they are.
  virtual Task<Result<void>> write_and_sync(std::int64_t offset, Slices slices);
  virtual Task<Result<void>> truncate(Bytes size) = 0;
  virtual Task<Result<Bytes>> size() = 0;
};
using FilePtr = std::shared_ptr<File>;  // the last handle closes

class Files {
 public:
  virtual ~Files() = default;

  virtual Task<Result<FilePtr>> open(Path path, OpenMode mode) = 0;
  virtual Task<Result<void>> rename(Path from, Path to) = 0;                // replaces `to`
  virtual Task<Result<void>> remove(Path path) = 0;                         // a file or an empty directory
  virtual Task<Result<std::vector<std::string>>> list(Path directory) = 0;  // names, sorted
  virtual Task<Result<void>> create_directories(Path path) = 0;
  virtual Task<Result<void>> sync_directory(Path path) = 0;  // makes creations, renames and removals durable
  // Bytes that the disk on which `directory` lies can still take.
  virtual Task<Result<Bytes>> free_space(Path directory) = 0;
};

}  // namespace forelog::env
