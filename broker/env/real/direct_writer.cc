#include "broker/env/real/direct_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace forelog::env {
namespace {

constexpr std::size_t kPieceSize = 1 << 20;

}  // namespace

DirectWriter::DirectWriter(PosixFile file, std::string path, bool direct, Bytes size)
    : file_(std::move(file)),
      path_(std::move(path)),
      direct_(direct),
      stage_(static_cast<std::byte*>(std::aligned_alloc(kBlockSize, kPieceSize))),
      size_(size) {
  CHECK(stage_ != nullptr, "out of memory");
}

Result<std::unique_ptr<DirectWriter>> DirectWriter::open(const std::string& path) {
  auto direct = PosixFile::open(path, O_RDWR | O_DIRECT);
  bool is_direct = direct.has_value();
  auto file = is_direct ? *std::move(direct) : TRY(PosixFile::open(path, O_RDWR));
  auto size = TRY(file.size());
  return std::unique_ptr<DirectWriter>(new DirectWriter(std::move(file), path, is_direct, size));
}

Result<void> DirectWriter::write(std::int64_t offset, const Slices& slices, bool sync) {
  std::lock_guard lock(mutex_);
  auto filled = static_cast<std::size_t>(offset) % kBlockSize;
  auto at = offset - static_cast<std::int64_t>(filled);
  if (filled > 0 && end_ != offset) TRY(load_last(offset));
  std::memcpy(stage_.get(), last_.data(), filled);
  auto size = total_size(slices);
  bool one_piece = static_cast<Bytes>(filled) + size <= static_cast<Bytes>(kPieceSize);
  // One piece is written and synced in one call, which a disk may do in one operation. But not where the file grows:
  // until Linux 6.7, ext4 notes the new size only after such a sync ("ext4: properly sync file size update after O_SYNC
  // direct IO").
  bool at_once = sync && one_piece && offset + size <= size_;
  for (const auto& slice : slices) {
    for (auto rest = slice.view(); !rest.empty();) {
      auto part = rest.first(std::min(rest.size(), kPieceSize - filled));
      std::memcpy(stage_.get() + filled, part.data(), part.size());
      filled += part.size();
      rest = rest.subspan(part.size());
      if (filled < kPieceSize || one_piece) continue;
      TRY(put(at, kPieceSize, false));
      at += static_cast<std::int64_t>(kPieceSize);
      filled = 0;
    }
  }
  auto whole = filled / kBlockSize * kBlockSize;
  auto padded = (filled + kBlockSize - 1) / kBlockSize * kBlockSize;
  std::memset(stage_.get() + filled, 0, padded - filled);
  if (padded > 0) TRY(put(at, padded, at_once));
  if (sync && !at_once) TRY(file_.sync());
  if (sync) size_ = std::max(size_, at + static_cast<Bytes>(padded));
  // Only now: a write that fails is repeated behind what was there before.
  if (padded > whole) std::memcpy(last_.data(), stage_.get() + whole, kBlockSize);
  end_ = offset + size;
  return {};
}

// The beginning of the block in which `end` lies.
Result<void> DirectWriter::load_last(std::int64_t end) {
  errno = 0;
  auto block = end / static_cast<std::int64_t>(kBlockSize) * static_cast<std::int64_t>(kBlockSize);
  auto count = file_.read(block, MutableByteView(stage_.get(), kBlockSize));
  if (errno != 0) return fail(posix_error("reading", path_, errno));
  std::memset(stage_.get() + count, 0, kBlockSize - count);
  std::memcpy(last_.data(), stage_.get(), kBlockSize);
  end_ = end;
  return {};
}

Result<void> DirectWriter::put(std::int64_t offset, std::size_t size, bool sync) {
  std::size_t done = 0;
  while (done < size) {
    iovec rest{stage_.get() + done, size - done};
    auto count =
        ::pwritev2(file_.descriptor(), &rest, 1, offset + static_cast<std::int64_t>(done), sync ? RWF_DSYNC : 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL && std::exchange(direct_, false)) {
      // The file system, or its disk, wants other blocks than these.
      int flags = ::fcntl(file_.descriptor(), F_GETFL);
      if (flags >= 0 && ::fcntl(file_.descriptor(), F_SETFL, flags & ~O_DIRECT) == 0) continue;
      errno = EINVAL;
    }
    if (count < 0) return fail(posix_error("writing", path_, errno));
    // A full disk takes whole blocks of what is left; direct writes go on at one.
    done += static_cast<std::size_t>(count) / kBlockSize * kBlockSize;
    if (static_cast<std::size_t>(count) < kBlockSize) return fail(posix_error("writing", path_, ENOSPC));
  }
  return {};
}

}  // namespace forelog::env
