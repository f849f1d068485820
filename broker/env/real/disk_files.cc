#include "broker/env/real/disk_files.h"

#include "broker/env/real/direct_writer.h"
#include "broker/env/real/posix_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>

namespace forelog::env {
namespace {

// What the files of a DiskFiles share.
struct Disk {
  BlockingPool& pool;
  Bytes reserve;
  std::shared_ptr<DiskRoom> room;
};

class DiskFile : public File {
 public:
  // The last close of a removed file frees its blocks, which takes time: the pool does it.
  DiskFile(Disk disk, PosixFile file)
      : disk_(std::move(disk)),
        pool_(disk_.pool),
        file_(new const PosixFile(std::move(file)),
              [&pool = disk_.pool](const PosixFile* last) { pool.post([last] { delete last; }); }) {}

  Task<Result<Buffer>> read_at(std::int64_t offset, Bytes size) override {
    CHECK(offset >= 0 && size >= 0);
    return pool_.run([file = file_, offset, size] { return file->read_at(offset, size); });
  }
  Task<Result<void>> write_at(std::int64_t offset, Slices slices) override {
    CHECK(offset >= 0);
    return pool_.run([file = file_, offset, slices = std::move(slices)] { return file->write_at(offset, slices); });
  }
  Task<Result<void>> write_leaving_room(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), disk_.reserve, Then::nothing);
  }
  Task<Result<void>> write_to_free_space(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), left_by_what_frees_space(disk_.reserve), Then::nothing);
  }
  Task<Result<void>> write_and_begin_writeback(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), disk_.reserve, Then::begin_writeback);
  }
  Task<Result<void>> sync() override {
    return pool_.run([file = file_] { return file->sync(); });
  }
  Task<Result<void>> write_and_sync(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), disk_.reserve, Then::sync);
  }
  std::optional<Buffer> resident(std::int64_t offset, Bytes size) override {
    CHECK(offset >= 0 && size >= 0);
    if (!file_->is_resident(offset, size)) return std::nullopt;
    return Buffer::stored(file_, offset, static_cast<std::size_t>(size));
  }
  Task<Result<void>> truncate(Bytes size) override {
    CHECK(size >= 0);
    return pool_.run([file = file_, size] { return file->truncate(size); });
  }
  Task<Result<Bytes>> size() override {
    return pool_.run([file = file_] { return file->size(); });
  }

 protected:
  Disk disk_;
  BlockingPool& pool_;
  std::shared_ptr<const PosixFile> file_;

 private:
  enum class Then : std::uint8_t { nothing, begin_writeback, sync };
  Task<Result<void>> write_in_room(std::int64_t offset, Slices slices, Bytes reserve, Then then) {
    CHECK(offset >= 0);
    auto call = [file = file_, room = disk_.room, offset, slices = std::move(slices), reserve, then]() -> Result<void> {
      auto end = offset + total_size(slices);
      {
        auto claim = TRY(room->claim(*file, end, reserve));
        TRY(file->write_at(offset, slices));
      }
      if (then == Then::sync) return file->sync();
      if (then == Then::begin_writeback) file->begin_writeback(offset, total_size(slices));
      return {};
    };
    return pool_.run(std::move(call));
  }
};

// Written by way of a DirectWriter, all else as usual.
class DirectFile final : public DiskFile {
 public:
  DirectFile(Disk disk, PosixFile file, std::unique_ptr<DirectWriter> writer)
      : DiskFile(std::move(disk), std::move(file)), writer_(std::move(writer)) {}

  Task<Result<void>> write_at(std::int64_t offset, Slices slices) override {
    return write(offset, std::move(slices), 0, false);
  }
  Task<Result<void>> write_leaving_room(std::int64_t offset, Slices slices) override {
    return write(offset, std::move(slices), disk_.reserve, false);
  }
  Task<Result<void>> write_to_free_space(std::int64_t offset, Slices slices) override {
    return write(offset, std::move(slices), left_by_what_frees_space(disk_.reserve), false);
  }
  Task<Result<void>> write_and_begin_writeback(std::int64_t offset, Slices slices) override {
    return write(offset, std::move(slices), disk_.reserve, false);
  }
  Task<Result<void>> write_and_sync(std::int64_t offset, Slices slices) override {
    return write(offset, std::move(slices), disk_.reserve, true);
  }

 private:
  Task<Result<void>> write(std::int64_t offset, Slices slices, Bytes reserve, bool sync) {
    CHECK(offset >= 0);
    auto call = [file = file_, room = disk_.room, writer = writer_, reserve, offset, slices = std::move(slices),
                 sync]() -> Result<void> {
      if (reserve == 0) return writer->write(offset, slices, sync);
      auto claim = TRY(room->claim(*file, offset + total_size(slices), reserve));
      return writer->write(offset, slices, sync);
    };
    return pool_.run(std::move(call));
  }

  std::shared_ptr<DirectWriter> writer_;
};

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read:
      return O_RDONLY;
    case OpenMode::write:
      return O_RDWR;
    case OpenMode::create:
    case OpenMode::create_direct:
      return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

Result<FilePtr> open_file(Disk disk, const Path& path, OpenMode mode) {
  auto file = TRY(PosixFile::open(path, flags_of(mode)));
  if (mode != OpenMode::create_direct) return std::make_shared<DiskFile>(std::move(disk), std::move(file));
  return std::make_shared<DirectFile>(std::move(disk), std::move(file), TRY(DirectWriter::open(path)));
}

Result<void> rename_file(const Path& from, const Path& to) {
  if (std::rename(from.c_str(), to.c_str()) < 0) return fail(posix_error("renaming", from, errno));
  return {};
}

Result<void> remove_file(const Path& path) {
  if (std::remove(path.c_str()) < 0) return fail(posix_error("removing", path, errno));
  return {};
}

Result<std::vector<std::string>> list_directory(const Path& directory) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator at(directory, error), end;
  for (; !error && at != end; at.increment(error)) names.push_back(at->path().filename().string());
  if (error) return fail(posix_error("listing", directory, error.value()));
  std::ranges::sort(names);
  return names;
}

Result<void> create_all(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail(posix_error("creating", path, error.value()));
  return {};
}

Result<Bytes> free_space_of(const Path& directory) {
  std::error_code error;
  auto space = std::filesystem::space(directory, error);
  if (error) return fail(posix_error("looking at the disk of", directory, error.value()));
  return static_cast<Bytes>(std::min<std::uintmax_t>(space.available, INT64_MAX));
}

}  // namespace

Task<Result<FilePtr>> DiskFiles::open(Path path, OpenMode mode) {
  Disk disk{pool_, reserve_, room_};
  return pool_.run([disk = std::move(disk), path = std::move(path), mode] { return open_file(disk, path, mode); });
}

Task<Result<void>> DiskFiles::rename(Path from, Path to) {
  return pool_.run([from = std::move(from), to = std::move(to)] { return rename_file(from, to); });
}

Task<Result<void>> DiskFiles::remove(Path path) {
  return pool_.run([path = std::move(path)] { return remove_file(path); });
}

Task<Result<std::vector<std::string>>> DiskFiles::list(Path directory) {
  return pool_.run([directory = std::move(directory)] { return list_directory(directory); });
}

Task<Result<void>> DiskFiles::create_directories(Path path) {
  return pool_.run([path = std::move(path)] { return create_all(path); });
}

Task<Result<void>> DiskFiles::sync_directory(Path path) {
  return pool_.run([path = std::move(path)] { return env::sync_directory(path); });
}

Task<Result<Bytes>> DiskFiles::free_space(Path directory) {
  return pool_.run([directory = std::move(directory)] { return free_space_of(directory); });
}

}  // namespace forelog::env
