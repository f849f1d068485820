// directory_lock.h: keeps a directory to one process at a time, and says to others whose it is.
//
// The lock is the kernel's, on a file `lock` in the directory, and goes with the process however that ends. What the
// file says is for people only.
#pragma once

#include "broker/base/result.h"

#include <string>

namespace forelog::env {

class DirectoryLock {
 public:
  DirectoryLock() = default;  // of nothing
  // Makes the directory when it is missing. Conflict when another process has it, naming `setting`, the directory, and
  // what that one said of itself; Io when there can be no lock.
  static Result<DirectoryLock> take(const std::string& directory, const std::string& setting, const std::string& owner);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace forelog::env
