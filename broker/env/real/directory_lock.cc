#include "broker/env/real/directory_lock.h"

#include "broker/env/real/posix_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace forelog::env {
namespace {

std::string text_of(int descriptor) {
  std::array<char, 512> room{};
  auto size = ::pread(descriptor, room.data(), room.size(), 0);
  return {room.data(), static_cast<std::size_t>(std::max<ssize_t>(0, size))};
}

}  // namespace

Result<DirectoryLock> DirectoryLock::take(const std::string& directory, const std::string& setting,
                                          const std::string& owner) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return fail(posix_error("creating", directory, error.value()));
  auto path = (std::filesystem::path(directory) / "lock").string();
  DirectoryLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.descriptor_ < 0) return fail(posix_error("opening", path, errno));
  if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return fail(posix_error("locking", path, errno));
    return fail(ErrorCode::kConflict, setting + ": " + directory + " is used by another broker (" +
                                          text_of(lock.descriptor_) + "); give each broker a directory of its own");
  }
  // A disk that takes no byte more still locks.
  auto text = owner + ", process " + std::to_string(::getpid());
  (void)(::ftruncate(lock.descriptor_, 0) == 0 && ::pwrite(lock.descriptor_, text.data(), text.size(), 0) > 0);
  return lock;
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace forelog::env
