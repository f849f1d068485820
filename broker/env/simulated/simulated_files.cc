#include "broker/env/simulated/simulated_files.h"

#include "broker/base/check.h"

#include <algorithm>

namespace forelog::env {

class SimulatedFiles::OpenFile final : public File {
  // What a buffer in a file holds: the file as it is when it is sent.
  class Content final : public StoredFile {
   public:
    Content(const SimulatedDisk& disk, SimulatedDisk::NodePtr node) : disk_(disk), node_(std::move(node)) {}
    int descriptor() const override { return -1; }
    bool is_resident(std::int64_t offset, Bytes size) const override { return offset + size <= disk_.size(*node_); }
    std::size_t read(std::int64_t offset, MutableByteView into) const override {
      auto bytes = disk_.read(*node_, offset, static_cast<Bytes>(into.size()));
      std::ranges::copy(bytes.view(), into.begin());
      return bytes.size();
    }

   private:
    const SimulatedDisk& disk_;
    SimulatedDisk::NodePtr node_;
  };

 public:
  OpenFile(SimulatedFiles& files, Path path, SimulatedDisk::NodePtr node, OpenMode mode)
      : files_(files), path_(std::move(path)), node_(std::move(node)), mode_(mode) {}

  Task<Result<Buffer>> read_at(std::int64_t offset, Bytes size) override {
    CHECK(offset >= 0 && size >= 0);
    CO_TRY(co_await files_.operate(path_));
    co_return files_.disk_.read(*node_, offset, size);
  }

  Task<Result<void>> write_at(std::int64_t offset, Slices slices) override {
    CHECK(offset >= 0);
    if (mode_ == OpenMode::read) co_return fail(ErrorCode::kIo, path_ + ": opened for reading");
    CO_TRY(files_.refuse_changes(path_));
    if (mode_ == OpenMode::create_direct) make_whole_blocks(offset, slices);
    // Readers, and a crash, may see the bytes before the call ends, or only then.
    bool early = files_.scheduler_.random().chance(0.5);
    if (early) CO_TRY(put(offset, slices));
    CO_TRY(co_await files_.operate(path_));
    if (!early) CO_TRY(put(offset, slices));
    co_return Result<void>{};
  }

  Task<Result<void>> write_leaving_room(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), files_.faults_.disk_reserve);
  }

  Task<Result<void>> write_to_free_space(std::int64_t offset, Slices slices) override {
    return write_in_room(offset, std::move(slices), left_by_what_frees_space(files_.faults_.disk_reserve));
  }

  Task<Result<void>> sync() override {
    auto covered = files_.disk_.changes(*node_);
    auto done = co_await files_.operate(path_);
    if (done) done = files_.refuse_changes(path_);
    if (!done) {
      files_.disk_.fail_sync(*node_, covered);
      co_return fail(std::move(done).error());
    }
    files_.disk_.sync(node_, covered);
    co_return Result<void>{};
  }

  std::optional<Buffer> resident(std::int64_t offset, Bytes size) override {
    CHECK(offset >= 0 && size >= 0);
    if (!content_) content_ = std::make_shared<const Content>(files_.disk_, node_);
    if (!content_->is_resident(offset, size) || files_.scheduler_.random().chance(0.3)) return std::nullopt;
    return Buffer::stored(content_, offset, static_cast<std::size_t>(size));
  }

  Task<Result<void>> truncate(Bytes size) override {
    CHECK(size >= 0);
    if (mode_ == OpenMode::read) co_return fail(ErrorCode::kIo, path_ + ": opened for reading");
    CO_TRY(co_await files_.operate(path_));
    CO_TRY(files_.refuse_changes(path_));
    files_.disk_.truncate(*node_, size);
    co_return Result<void>{};
  }

  Task<Result<Bytes>> size() override {
    CO_TRY(co_await files_.operate(path_));
    co_return files_.disk_.size(*node_);
  }

 private:
  Task<Result<void>> write_in_room(std::int64_t offset, Slices slices, Bytes reserve) {
    auto grows = std::max<Bytes>(0, offset + total_size(slices) - files_.disk_.size(*node_));
    bool fits = grows == 0 || files_.free() - files_.claimed_ - grows >= reserve;
    if (!fits) co_return fail(ErrorCode::kDiskFull, path_);
    files_.claimed_ += grows;
    auto written = co_await write_at(offset, std::move(slices));
    files_.claimed_ -= grows;
    co_return written;
  }

  // Direct writes are of whole blocks, so that a torn one may tear what was there before, too. Those of a world of
  // small files are small.
  void make_whole_blocks(std::int64_t& offset, Slices& slices) const {
    constexpr Bytes kBlock = 64;
    if (auto lead = offset % kBlock; lead > 0) {
      offset -= lead;
      auto there = files_.disk_.read(*node_, offset, lead);
      auto missing = static_cast<std::size_t>(lead) - there.size();
      slices.insert(slices.begin(), {std::move(there), Buffer::take(std::string(missing, '\0'))});
    }
    auto beyond = (offset + total_size(slices)) % kBlock;
    if (beyond > 0) slices.push_back(Buffer::take(std::string(static_cast<std::size_t>(kBlock - beyond), '\0')));
  }

  Result<void> put(std::int64_t offset, const Slices& slices) {
    auto grows = std::max<Bytes>(0, offset + total_size(slices) - files_.disk_.size(*node_));
    auto free = files_.free();
    if (grows <= free) {
      files_.disk_.write(*node_, offset, slices);
      return {};
    }
    // A full disk takes what still fits.
    auto whole = flatten(slices);
    files_.disk_.write(*node_, offset,
                       {whole.slice(0, whole.size() - static_cast<std::size_t>(std::min<Bytes>(
                                                          grows - free, static_cast<Bytes>(whole.size()))))});
    return fail(ErrorCode::kDiskFull, path_);
  }

  SimulatedFiles& files_;
  Path path_;
  SimulatedDisk::NodePtr node_;
  OpenMode mode_;
  std::shared_ptr<const Content> content_;
};

Task<Result<void>> SimulatedFiles::operate(Path path) {
  auto& random = scheduler_.random();
  auto wait = random.between(random.chance(faults_.disk_slow_rate) ? faults_.disk_slow : faults_.disk);
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(wait, Duration(1)));
  if (scheduler_.random().chance(faults_.disk_error_rate)) co_return fail(ErrorCode::kIo, path + ": drawn");
  co_return Result<void>{};
}

Result<void> SimulatedFiles::refuse_changes(const Path& path) const {
  if (!faults_.disk_read_only) return {};
  return fail(ErrorCode::kIo, path + ": Read-only file system");
}

Task<Result<FilePtr>> SimulatedFiles::open(Path path, OpenMode mode) {
  CO_TRY(co_await operate(path));
  if (mode != OpenMode::read) CO_TRY(refuse_changes(path));
  auto node = CO_TRY(disk_.open(path, mode));
  co_return std::make_shared<OpenFile>(*this, std::move(path), std::move(node), mode);
}

Task<Result<void>> SimulatedFiles::rename(Path from, Path to) {
  CO_TRY(co_await operate(from));
  CO_TRY(refuse_changes(from));
  co_return disk_.rename(from, to);
}

Task<Result<void>> SimulatedFiles::remove(Path path) {
  CO_TRY(co_await operate(path));
  CO_TRY(refuse_changes(path));
  auto before = disk_.used();
  auto removed = disk_.remove(path);
  if (faults_.disk_space_returns > Duration{0}) {
    returning_.push_back({scheduler_.now() + faults_.disk_space_returns, before - disk_.used()});
  }
  co_return removed;
}

Task<Result<std::vector<std::string>>> SimulatedFiles::list(Path directory) {
  CO_TRY(co_await operate(directory));
  co_return disk_.list(directory);
}

Task<Result<void>> SimulatedFiles::create_directories(Path path) {
  CO_TRY(co_await operate(path));
  CO_TRY(refuse_changes(path));
  co_return disk_.create_directories(path);
}

Task<Result<void>> SimulatedFiles::sync_directory(Path path) {
  CO_TRY(co_await operate(path));
  CO_TRY(refuse_changes(path));
  co_return disk_.sync_directory(path);
}

Task<Result<Bytes>> SimulatedFiles::free_space(Path directory) {
  CO_TRY(co_await operate(directory));
  co_return free();
}

Bytes SimulatedFiles::free() {
  std::erase_if(returning_, [now = scheduler_.now()](const auto& bytes) { return bytes.at <= now; });
  auto free = faults_.disk_capacity - disk_.used();
  for (const auto& each : returning_) free -= each.bytes;
  return std::max<Bytes>(0, free);
}

}  // namespace forelog::env
