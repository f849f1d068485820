// posix_file.h: blocking calls on files, for the threads of a pool: whole reads and writes, and errors as ours.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"

#include <string>

namespace forelog::env {

// The error of the last failed call, `doing` something with `path`.
Error posix_error(const char* doing, const std::string& path, int number);

// An open file descriptor, closed with its owner.
class PosixFile final : public StoredFile {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override;
  PosixFile(PosixFile&& other) noexcept;
  PosixFile& operator=(PosixFile&&) = delete;

  static Result<PosixFile> open(const std::string& path, int flags);

  int descriptor() const override { return descriptor_; }
  std::size_t read(std::int64_t offset, MutableByteView into) const override;
  bool is_resident(std::int64_t offset, Bytes size) const override;
  // Up to the end of the file.
  Result<Buffer> read_at(std::int64_t offset, Bytes size) const;
  Result<void> write_at(std::int64_t offset, const Slices& slices) const;
  // Fails DiskFull where `grows` bytes more on its disk would leave less than `reserve`.
  Result<void> leave_room(Bytes grows, Bytes reserve) const;
  // Asks the system to begin storing whole stretches that a write has filled up, without waiting for any: a sync later
  // finds little to do, and the disk is not flooded at once. Promises nothing, so that a failure is the sync's to tell.
  void begin_writeback(std::int64_t offset, Bytes size) const;
  Result<void> sync() const;      // contents, and what is needed to find them
  Result<void> sync_all() const;  // for directories
  Result<void> truncate(Bytes size) const;
  Result<Bytes> size() const;

 private:
  int descriptor_;
  std::string path_;
};

Result<void> sync_directory(const std::string& path);

}  // namespace forelog::env
