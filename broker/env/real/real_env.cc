#include "broker/env/real/real_env.h"

#include "broker/env/real/directory_lock.h"
#include "broker/env/real/directory_object_store.h"
#include "broker/env/real/disk_files.h"
#include "broker/env/real/embedded_metadata_store.h"
#include "broker/env/real/leveldb_store.h"
#include "broker/env/real/posix_file.h"
#include "broker/env/real/reactors.h"
#include "broker/env/real/s3_watch.h"
#include "broker/env/real/system_random.h"
#include "broker/env/real/tcp_network.h"

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>

namespace forelog::env {
namespace {

constexpr Duration kArchiveStopMax = 1s;

// The directory an archive url names.
Result<std::string> archive_directory(const std::string& url) {
  constexpr std::string_view kFile = "file:";
  if (!url.starts_with(kFile))
    return fail(ErrorCode::kInvalidSetting,
                "archive.url '" + s3::without_secrets(url) + "' is neither file:/path nor s3://bucket/prefix");
  auto path = url.substr(kFile.size());
  if (path.starts_with("//")) path = path.substr(2);  // file:///path, with an empty host
  if (!path.starts_with('/'))
    return fail(ErrorCode::kInvalidSetting, "archive.url '" + url + "': the path must be absolute, as in file:/path");
  return path;
}

}  // namespace

// In the order in which they are needed; they go in the opposite one. With the reactors go tasks that nobody joined,
// and files that these hold are closed by way of the pool.
struct RealEnv::Parts {
  explicit Parts(const RealEnvOptions& options) : disk(options.disk_threads), reactors(options.cores, quick) {
    if (options.cache_disk_threads == 0) return;
    cache_disk.emplace(options.cache_disk_threads, quick);
    cache_files.emplace(*cache_disk);
  }

  QuickClients quick;
  BlockingPool disk;
  BlockingPool wal_disk{2};  // rounds come one after the other; the next file is made ready beside them
  std::optional<BlockingPool> cache_disk;
  Reactors reactors;
  SystemRandom random;
  DiskFiles files{disk};
  DiskFiles wal_files{wal_disk};
  std::optional<DiskFiles> cache_files;
  TcpNetwork network{reactors, disk};
  DirectoryLock cache_lock;
  std::unique_ptr<LevelDbStore> local;
  std::unique_ptr<EmbeddedMetadataStore> metadata;
  std::unique_ptr<DirectoryObjectStore> directory;
  std::unique_ptr<S3ObjectStore> s3;
  std::unique_ptr<S3Watch> s3_watch;
  std::optional<Env> env;
  bool running = false;
  bool hangs = false;  // a thread of the archive's does not come back
};

RealEnv::RealEnv(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

RealEnv::~RealEnv() {
  if (stop()) return;
  // The thread that hangs still uses the parts, so they stay until the process ends; a leak, but a known one.
  static std::atomic<Parts*> left_alone;
  left_alone = parts_.release();
}

Result<std::unique_ptr<RealEnv>> RealEnv::open(RealEnvOptions options) {
  auto parts = std::make_unique<Parts>(options);
  std::error_code error;
  std::filesystem::create_directories(options.data_directory, error);
  if (error) return fail(posix_error("creating the data directory", options.data_directory, error.value()));
  parts->local =
      TRY(LevelDbStore::open((std::filesystem::path(options.data_directory) / "store").string(), parts->disk));
  if (!options.cache_disk_directory.empty()) {
    auto lock =
        DirectoryLock::take(options.cache_disk_directory, "cache.disk.path", "log.dirs=" + options.data_directory);
    if (lock) {
      parts->cache_lock = *std::move(lock);
    } else if (lock.error().code == ErrorCode::kConflict) {
      return fail(std::move(lock).error());
    }  // else the disk is broken, which the tier notices itself, and does without
  }
  parts->metadata = std::make_unique<EmbeddedMetadataStore>(parts->reactors, *parts->local);
  auto& clock = parts->reactors.clock();
  ObjectStore* archive = nullptr;
  if (options.archive_url.starts_with("s3:")) {
    parts->s3 = TRY(S3ObjectStore::open({parts->reactors, clock, parts->random, parts->quick}, options.archive_url,
                                        options.s3, options.archive_first_byte_delay));
    parts->s3_watch = std::make_unique<S3Watch>(parts->reactors, *parts->s3, options.s3_uploads_prefix,
                                                options.s3_uploads_stale_after);
    archive = parts->s3.get();
  } else if (!options.archive_url.empty()) {
    auto directory = TRY(archive_directory(options.archive_url));
    parts->directory = TRY(DirectoryObjectStore::open(std::move(directory), clock, parts->random, parts->quick,
                                                      options.archive_first_byte_delay, options.archive_threads,
                                                      options.clears_uploads));
    archive = parts->directory.get();
  }
  parts->env.emplace(Env{parts->reactors, clock, parts->random, parts->files, parts->network, *parts->local,
                         *parts->metadata, archive, parts->cache_files ? *parts->cache_files : parts->files,
                         parts->wal_files});
  return std::unique_ptr<RealEnv>(new RealEnv(std::move(parts)));
}

Env& RealEnv::env() { return *parts_->env; }

Result<void> RealEnv::start() {
  parts_->running = true;
  parts_->reactors.start();
  if (parts_->s3_watch) run(parts_->s3_watch->start());
  return run(parts_->metadata->begin_session());
}

bool RealEnv::stop() {
  if (!std::exchange(parts_->running, false)) return !parts_->hangs;
  // Pools first: what they finish is answered to cores, which must still be there, though nobody may listen any more.
  if (parts_->s3) parts_->s3->interrupt();
  if (parts_->s3_watch) run(parts_->s3_watch->stop());
  if (parts_->directory) parts_->hangs = !parts_->directory->stop_within(kArchiveStopMax);
  if (parts_->s3) parts_->s3->stop();
  parts_->disk.stop();
  parts_->wal_disk.stop();
  if (parts_->cache_disk) parts_->cache_disk->stop();
  parts_->reactors.stop();
  return !parts_->hangs;
}

}  // namespace forelog::env
