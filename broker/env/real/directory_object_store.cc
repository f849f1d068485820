#include "broker/env/real/directory_object_store.h"

#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/env/event.h"
#include "broker/env/object_key.h"
#include "broker/env/real/object_directory.h"
#include "broker/env/real/posix_file.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>

namespace forelog::env {
namespace {

constexpr std::size_t kPiecesAtOnce = 4;  // read in one go; not the first, for which somebody may wait
constexpr Bytes kWriteChunk = 1_MiB;

// A wait must not outlast `deadline`; what passes it was not worth beginning.
Result<void> check_deadline(const Clock& clock, const std::string& key, Deadline deadline) {
  if (clock.now() < deadline) return {};
  return fail(ErrorCode::kTimeout, "archive object " + key);
}

// Up to `count` pieces from `from` on, none past `end`. The last is shorter than it should be where the file ends.
Result<std::vector<ObjectStore::Piece>> read_pieces(PosixFile& file, Bytes from, Bytes end, std::size_t count) {
  std::vector<ObjectStore::Piece> pieces;
  for (; from < end && pieces.size() < count; from += kBlockSize)
    pieces.emplace_back(TRY(file.read_at(from, std::min(kBlockSize, end - from))));
  return pieces;
}

Result<std::shared_ptr<PosixFile>> open_shared(const std::string& path, int flags) {
  return std::make_shared<PosixFile>(TRY(PosixFile::open(path, flags)));
}

}  // namespace

DirectoryObjectStore::DirectoryObjectStore(std::string directory, Clock& clock, Random& random,
                                           const QuickClients& quick, Duration first_byte_delay, int threads,
                                           bool clears_uploads)
    : directory_(std::move(directory)),
      life_(random.topic_id().text() + "."),
      clears_uploads_(clears_uploads),
      clock_(clock),
      random_(random),
      quick_(quick),
      first_byte_delay_(first_byte_delay),
      pool_(threads, quick) {}

Result<std::unique_ptr<DirectoryObjectStore>> DirectoryObjectStore::open(std::string directory, Clock& clock,
                                                                         Random& random, const QuickClients& quick,
                                                                         Duration first_byte_delay, int threads,
                                                                         bool clears_uploads) {
  auto uploading = std::filesystem::path(directory) / kUploading;
  std::error_code error;
  if (!clears_uploads && !std::filesystem::is_directory(directory, error))
    return fail(ErrorCode::kNotFound, "there is no directory " + directory + "; mount it, or correct archive.url");
  std::filesystem::create_directories(uploading, error);
  if (error) return fail(posix_error("preparing the archive", directory, error.value()));
  return std::unique_ptr<DirectoryObjectStore>(
      new DirectoryObjectStore(std::move(directory), clock, random, quick, first_byte_delay, threads, clears_uploads));
}

void DirectoryObjectStore::claim() {
  if (clears_uploads_) pool_.post([directory = directory_, life = life_] { clear_uploads(directory, life); });
}

Task<Result<void>> DirectoryObjectStore::begin(std::string key, Deadline deadline) {
  auto answer = clock_.now() + first_byte_delay_;
  if (answer > deadline) {
    co_await sleep_until(clock_, deadline);
    co_return fail(ErrorCode::kTimeout, "archive object " + key);
  }
  if (first_byte_delay_ > Duration{}) co_await sleep_until(clock_, answer);
  co_return Result<void>{};
}

Task<Result<void>> DirectoryObjectStore::upload(std::string temporary, ObjectContent& content, Deadline deadline) {
  auto open = [temporary] { return open_shared(temporary, O_WRONLY | O_CREAT | O_EXCL); };
  auto file = CO_TRY(co_await pool_.run(std::move(open)));
  for (Bytes at = 0; at < content.size();) {
    CO_TRY(check_deadline(clock_, temporary, deadline));
    auto size = std::min(kWriteChunk, content.size() - at);
    Slices chunk;
    chunk.push_back(CO_TRY(co_await content.read(at, size)));
    auto write = [file, at, chunk = std::move(chunk)] { return file->write_at(at, chunk); };
    CO_TRY(co_await pool_.run(std::move(write)));
    at += size;
  }
  auto sync = [file] { return file->sync_all(); };
  co_return co_await pool_.run(std::move(sync));
}

Task<Result<void>> DirectoryObjectStore::put(std::string key, ObjectContent& content, Deadline deadline) {
  if (!is_object_key(key)) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  CO_TRY(co_await begin(key, deadline));
  // A unique name: two puts of one key may overlap, and the later one to finish wins.
  auto temporary = (std::filesystem::path(directory_) / kUploading / (life_ + random_.topic_id().text())).string();
  auto done = co_await upload(temporary, content, deadline);
  if (done) {
    auto publish = [this, temporary, key] { return publish_object(directory_, temporary, key); };
    done = co_await pool_.run(std::move(publish));
  }
  if (done) co_return done;
  pool_.post([temporary] {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
  });
  co_return fail(archive_error(directory_, std::move(done).error()));
}

Task<Result<void>> DirectoryObjectStore::get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece,
                                                   TrafficClass /*traffic*/, Deadline deadline) {
  if (!is_object_key(key) || from < 0 || size < 0) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  CO_TRY(co_await begin(key, deadline));
  auto open = [this, key]() -> Result<std::shared_ptr<PosixFile>> {
    auto file = open_shared((std::filesystem::path(directory_) / key).string(), O_RDONLY);
    if (!file) return fail(archive_error(directory_, std::move(file).error()));
    return file;
  };
  auto file = CO_TRY(co_await pool_.run(std::move(open)));
  std::size_t count = 1;
  for (auto end = from + size; from < end; count = quick_.any(clock_.now()) ? 1 : kPiecesAtOnce) {
    CO_TRY(check_deadline(clock_, key, deadline));
    auto read = [file, from, end, count] { return read_pieces(*file, from, end, count); };
    auto pieces = CO_TRY(co_await pool_.run(std::move(read)));
    for (auto& piece : pieces) {
      if (static_cast<Bytes>(piece.bytes.size()) < std::min(kBlockSize, end - from))
        co_return fail(ErrorCode::kCorruptBlock, "archive object " + key + " is shorter than the range asked for");
      from += static_cast<Bytes>(piece.bytes.size());
      on_piece(std::move(piece));
    }
  }
  co_return Result<void>{};
}

Task<Result<ObjectInfo>> DirectoryObjectStore::head(std::string key, Deadline deadline) {
  if (!is_object_key(key)) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  CO_TRY(co_await begin(key, deadline));
  auto look = [this, key]() -> Result<ObjectInfo> {
    auto path = (std::filesystem::path(directory_) / key).string();
    std::error_code error;
    auto size = std::filesystem::file_size(path, error);
    if (error) return fail(archive_error(directory_, posix_error("looking at", path, error.value())));
    return ObjectInfo{key, static_cast<Bytes>(size)};
  };
  co_return co_await pool_.run(std::move(look));
}

Task<Result<void>> DirectoryObjectStore::remove(std::string key, Deadline deadline) {
  if (!is_object_key(key)) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  CO_TRY(co_await begin(key, deadline));
  auto removal = [this, key]() -> Result<void> {
    auto done = remove_object(directory_, key);
    if (!done) return fail(archive_error(directory_, std::move(done).error()));
    return done;
  };
  co_return co_await pool_.run(std::move(removal));
}

Task<Result<std::vector<ObjectInfo>>> DirectoryObjectStore::list(std::string prefix, std::string after,
                                                                 std::size_t limit, Deadline deadline) {
  CO_TRY(co_await begin(prefix, deadline));
  auto listing = [this, prefix, after, limit]() -> Result<std::vector<ObjectInfo>> {
    auto found = list_objects(directory_, prefix, after, limit);
    if (!found) return fail(archive_error(directory_, std::move(found).error()));
    return found;
  };
  co_return co_await pool_.run(std::move(listing));
}

}  // namespace forelog::env
