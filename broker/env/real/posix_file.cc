#include "broker/env/real/posix_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace forelog::env {
namespace {

// The kernel takes no more than INT_MAX bytes a call, less a page.
constexpr Bytes kCallSizeMax = 1_GiB;
constexpr Bytes kWritebackStretch = 1_MiB;

template <class Call>
auto retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// The slices not yet written, as the kernel wants them.
class GatherList {
 public:
  explicit GatherList(const Slices& slices) : slices_(slices) {}

  // Fills the next call's list; false at the end.
  bool fill() {
    used_ = 0;
    Bytes sum = 0;
    auto within = within_;
    for (auto i = index_; i < slices_.size() && used_ < vectors_.size() && sum < kCallSizeMax; ++i) {
      auto size = std::min(slices_[i].size() - within, static_cast<std::size_t>(kCallSizeMax - sum));
      if (size > 0) vectors_[used_++] = {const_cast<std::byte*>(slices_[i].data() + within), size};  // NOLINT: iovec
      sum += static_cast<Bytes>(size);
      within = 0;
    }
    return used_ > 0;
  }
  void advance(std::size_t written) {
    while (written > 0) {
      auto size = std::min(written, slices_[index_].size() - within_);
      within_ += size;
      written -= size;
      if (within_ == slices_[index_].size()) ++index_, within_ = 0;
    }
  }
  const iovec* data() const { return vectors_.data(); }
  int count() const { return static_cast<int>(used_); }

 private:
  const Slices& slices_;
  std::size_t index_ = 0;
  std::size_t within_ = 0;
  std::array<iovec, 256> vectors_;
  std::size_t used_ = 0;
  static_assert(std::tuple_size_v<decltype(vectors_)> <= IOV_MAX);
};

std::int64_t page_size() {
  static const std::int64_t size = ::sysconf(_SC_PAGESIZE);
  return size;
}

// That bytes `[offset, offset + size)` lie in.
std::int64_t pages_of(std::int64_t offset, Bytes size) {
  return size == 0 ? 0 : (offset + size - 1) / page_size() - offset / page_size() + 1;
}

// How many of these pages are in the page cache, where the kernel can say so at once (cachestat, Linux 6.5; newer than
// the C library's headers).
std::optional<std::int64_t> resident_pages(int descriptor, std::int64_t offset, Bytes size) {
  constexpr long kCachestat = 451;
  struct Range {
    std::uint64_t offset, length;
  } range{static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(size)};
  struct Counts {
    std::uint64_t cached, dirty, written_back, evicted, recently_evicted;
  } counts{};
  if (::syscall(kCachestat, descriptor, &range, &counts, 0U) != 0) return std::nullopt;
  return static_cast<std::int64_t>(counts.cached);
}

// The same on older kernels. Mapping makes no page present; mincore looks at the page cache.
bool is_mapped_resident(int descriptor, std::int64_t from, std::int64_t pages) {
  auto length = static_cast<std::size_t>(pages * page_size());
  auto* mapped = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, descriptor, from);
  if (mapped == MAP_FAILED) return false;
  std::vector<unsigned char> resident(static_cast<std::size_t>(pages));
  bool known = ::mincore(mapped, length, resident.data()) == 0;
  ::munmap(mapped, length);
  return known && std::ranges::all_of(resident, [](unsigned char page) { return (page & 1) != 0; });
}

}  // namespace

Error posix_error(const char* doing, const std::string& path, int number) {
  auto code = ErrorCode::kIo;
  if (number == ENOENT) code = ErrorCode::kNotFound;
  if (number == ENOSPC || number == EDQUOT || number == EFBIG) code = ErrorCode::kDiskFull;
  return {code, std::string(doing) + " " + path + ": " + std::strerror(number)};
}

PosixFile::~PosixFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

PosixFile::PosixFile(PosixFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

Result<PosixFile> PosixFile::open(const std::string& path, int flags) {
  int descriptor = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); });
  if (descriptor < 0) return fail(posix_error("opening", path, errno));
  return PosixFile(descriptor, path);
}

Result<Buffer> PosixFile::read_at(std::int64_t offset, Bytes size) const {
  // Whoever asks for "all" of a file must not make us allocate what it does not have.
  if (size > 1_MiB) size = std::min(size, std::max<Bytes>(0, TRY(this->size()) - offset));
  MutableBuffer buffer(static_cast<std::size_t>(size));
  errno = 0;
  auto done = read(offset, buffer.view());
  if (errno != 0) return fail(posix_error("reading", path_, errno));
  return std::move(buffer).freeze(done);
}

// With errno set when a call fails, and only then.
std::size_t PosixFile::read(std::int64_t offset, MutableByteView into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    auto wanted = std::min(into.size() - done, static_cast<std::size_t>(kCallSizeMax));
    auto count = retried(
        [&] { return ::pread(descriptor_, into.data() + done, wanted, offset + static_cast<std::int64_t>(done)); });
    if (count < 0) return done;
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  errno = 0;  // a call that was interrupted has been repeated
  return done;
}

bool PosixFile::is_resident(std::int64_t offset, Bytes size) const {
  auto pages = pages_of(offset, size);
  auto counted = resident_pages(descriptor_, offset, size);
  if (counted) return *counted >= pages;
  return is_mapped_resident(descriptor_, offset / page_size() * page_size(), pages);
}

Result<void> PosixFile::write_at(std::int64_t offset, const Slices& slices) const {
  GatherList list(slices);
  while (list.fill()) {
    auto count = retried([&] { return ::pwritev(descriptor_, list.data(), list.count(), offset); });
    if (count < 0) return fail(posix_error("writing", path_, errno));
    list.advance(static_cast<std::size_t>(count));
    offset += count;
  }
  return {};
}

Result<void> PosixFile::leave_room(Bytes grows, Bytes reserve) const {
  struct statvfs disk{};
  if (::fstatvfs(descriptor_, &disk) < 0) return {};  // where nobody can tell, the write will
  auto free = static_cast<Bytes>(std::min<std::uint64_t>(disk.f_bavail * disk.f_frsize, INT64_MAX));
  if (free - grows >= reserve) return {};
  return fail(ErrorCode::kDiskFull, "writing " + path_ + ": " + std::to_string(reserve >> 20) +
                                        " MiB are left for changes of metadata, by which space is freed");
}

void PosixFile::begin_writeback(std::int64_t offset, Bytes size) const {
  auto from = offset / kWritebackStretch * kWritebackStretch;
  auto to = (offset + size) / kWritebackStretch * kWritebackStretch;
  if (to > from) (void)::sync_file_range(descriptor_, from, to - from, SYNC_FILE_RANGE_WRITE);
}

Result<void> PosixFile::sync() const {
  if (retried([&] { return ::fdatasync(descriptor_); }) < 0) return fail(posix_error("syncing", path_, errno));
  return {};
}

Result<void> PosixFile::sync_all() const {
  if (retried([&] { return ::fsync(descriptor_); }) < 0) return fail(posix_error("syncing", path_, errno));
  return {};
}

Result<void> PosixFile::truncate(Bytes size) const {
  if (retried([&] { return ::ftruncate(descriptor_, size); }) < 0) return fail(posix_error("truncating", path_, errno));
  return {};
}

Result<Bytes> PosixFile::size() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) < 0) return fail(posix_error("looking at", path_, errno));
  return status.st_size;
}

Result<void> sync_directory(const std::string& path) {
  return TRY(PosixFile::open(path, O_RDONLY | O_DIRECTORY)).sync_all();
}

}  // namespace forelog::env
