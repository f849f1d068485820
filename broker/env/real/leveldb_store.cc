#include "broker/env/real/leveldb_store.h"

#include "broker/base/log.h"

#include <filesystem>
#include <mutex>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/write_batch.h>

namespace forelog::env {
namespace {

// The store holds little and is read rarely: memory belongs to the block cache.
constexpr std::size_t kWriteBufferSize = 1 << 20;
constexpr std::size_t kCacheSize = 1 << 20;
constexpr int kOpenFilesMax = 100;
// Room for the write buffer, the table that it becomes, and what a compaction rewrites meanwhile.
constexpr std::uintmax_t kFreeSpaceMin = 8 << 20;

Error error_of(const char* doing, const leveldb::Status& status) {
  auto text = status.ToString();
  auto code = ErrorCode::kIo;
  if (status.IsCorruption()) code = ErrorCode::kCorruptFile;
  if (text.find("No space left") != text.npos || text.find("File too large") != text.npos) code = ErrorCode::kDiskFull;
  return {code, std::string(doing) + " the local store: " + text};
}

// A file that failed once takes nothing more: LevelDB would go on behind the torn record.
class CarefulFile final : public leveldb::WritableFile {
 public:
  explicit CarefulFile(leveldb::WritableFile* file) : file_(file) {}
  leveldb::Status Append(const leveldb::Slice& data) override { return unless_failed(&WritableFile::Append, data); }
  leveldb::Status Flush() override { return unless_failed(&WritableFile::Flush); }
  leveldb::Status Sync() override { return unless_failed(&WritableFile::Sync); }
  leveldb::Status Close() override {
    auto closed = file_->Close();
    return failed_.ok() ? closed : failed_;
  }

 private:
  template <class... Arguments>
  leveldb::Status unless_failed(leveldb::Status (WritableFile::*call)(Arguments...),
                                std::type_identity_t<Arguments>... arguments) {
    if (failed_.ok()) failed_ = ((*file_).*call)(arguments...);
    return failed_;
  }
  std::unique_ptr<leveldb::WritableFile> file_;
  leveldb::Status failed_;
};

class CarefulFiles final : public leveldb::EnvWrapper {
 public:
  CarefulFiles() : EnvWrapper(leveldb::Env::Default()) {}
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override {
    return wrapped(target()->NewWritableFile(path, file), file);
  }
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** file) override {
    return wrapped(target()->NewAppendableFile(path, file), file);
  }

 private:
  static leveldb::Status wrapped(leveldb::Status opened, leveldb::WritableFile** file) {
    if (opened.ok()) *file = new CarefulFile(*file);  // NOLINT: LevelDB owns it
    return opened;
  }
};

std::unexpected<Error> not_open(const std::string& directory) {
  return fail(ErrorCode::kIo, "the local store in " + directory + " could not be opened anew after a failed write");
}

bool has_space(const std::string& directory) {
  std::error_code error;
  auto space = std::filesystem::space(directory, error);
  return error || space.available >= kFreeSpaceMin;  // where nobody can tell, the write will
}

Result<std::optional<std::string>> get_blocking(leveldb::DB& db, const std::string& key) {
  std::string value;
  auto status = db.Get(leveldb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return fail(error_of("reading", status));
  return value;
}

leveldb::WriteBatch writes_of(const StoreBatch& batch) {
  leveldb::WriteBatch writes;
  for (const auto& change : batch.changes) {
    if (change.value)
      writes.Put(change.key, *change.value);
    else
      writes.Delete(change.key);
  }
  return writes;
}

Result<LocalStore::Entries> scan_blocking(leveldb::DB& db, const std::string& from, const std::string& to,
                                          std::size_t limit) {
  LocalStore::Entries out;
  std::unique_ptr<leveldb::Iterator> at(db.NewIterator(leveldb::ReadOptions()));
  for (at->Seek(from); at->Valid() && out.size() < limit; at->Next()) {
    if (!to.empty() && at->key().compare(to) >= 0) break;
    out.emplace_back(at->key().ToString(), at->value().ToString());
  }
  if (!at->status().ok()) return fail(error_of("scanning", at->status()));
  return out;
}

}  // namespace

LevelDbStore::LevelDbStore(BlockingPool& pool, std::unique_ptr<State> state) : pool_(pool), state_(std::move(state)) {}

LevelDbStore::~LevelDbStore() = default;

LevelDbStore::State::State() : files(std::make_unique<CarefulFiles>()), cache(leveldb::NewLRUCache(kCacheSize)) {}
LevelDbStore::State::~State() = default;

Result<void> LevelDbStore::open_database(State& state) {
  state.db.reset();
  leveldb::Options options;
  options.env = state.files.get();
  options.create_if_missing = true;
  options.write_buffer_size = kWriteBufferSize;
  options.block_cache = state.cache.get();
  options.max_open_files = kOpenFilesMax;
  leveldb::DB* db = nullptr;
  auto status = leveldb::DB::Open(options, state.directory, &db);
  if (status.ok()) {
    state.db.reset(db);
    return {};
  }
  if (status.ToString().find("/LOCK") != std::string::npos) {
    return fail(ErrorCode::kIo, "log.dirs: another broker runs in " +
                                    std::filesystem::path(state.directory).parent_path().string() +
                                    "; stop it, or give this one a directory of its own (" + status.ToString() + ")");
  }
  return fail(error_of("opening", status));
}

Result<std::unique_ptr<LevelDbStore>> LevelDbStore::open(const std::string& directory, BlockingPool& pool) {
  auto state = std::make_unique<State>();
  state->directory = directory;
  TRY(open_database(*state));
  return std::unique_ptr<LevelDbStore>(new LevelDbStore(pool, std::move(state)));
}

Result<void> LevelDbStore::commit_blocking(State& state, const StoreBatch& batch, Durability durability) {
  if (!has_space(state.directory)) {
    return fail(ErrorCode::kDiskFull, "less than " + std::to_string(kFreeSpaceMin >> 20) + " MiB are left for " +
                                          state.directory + "; metadata is not changed until there is more");
  }
  {
    std::shared_lock shared(state.mutex);
    if (state.db && !state.failed) {
      auto writes = writes_of(batch);
      leveldb::WriteOptions options;
      options.sync = durability == Durability::synced;
      auto status = state.db->Write(options, &writes);
      if (status.ok()) return {};
      shared.unlock();
      std::unique_lock exclusive(state.mutex);
      state.failed = true;
      return fail(error_of("writing", status));
    }
  }
  std::unique_lock exclusive(state.mutex);
  if (!state.db || state.failed) {
    TRY(open_database(state));
    state.failed = false;
    log_line(info, "local_store_opened_anew", {{"directory", state.directory}});
  }
  auto writes = writes_of(batch);
  leveldb::WriteOptions options;
  options.sync = durability == Durability::synced;
  auto status = state.db->Write(options, &writes);
  if (status.ok()) return {};
  state.failed = true;
  return fail(error_of("writing", status));
}

Task<Result<std::optional<std::string>>> LevelDbStore::get(std::string key) {
  return pool_.run([&state = *state_, key = std::move(key)]() -> Result<std::optional<std::string>> {
    std::shared_lock shared(state.mutex);
    if (!state.db) return not_open(state.directory);
    return get_blocking(*state.db, key);
  });
}

Task<Result<void>> LevelDbStore::commit(StoreBatch batch, Durability durability) {
  return pool_.run(
      [&state = *state_, batch = std::move(batch), durability] { return commit_blocking(state, batch, durability); });
}

Task<Result<LocalStore::Entries>> LevelDbStore::scan(std::string from, std::string to, std::size_t limit) {
  return pool_.run([&state = *state_, from = std::move(from), to = std::move(to), limit]() -> Result<Entries> {
    std::shared_lock shared(state.mutex);
    if (!state.db) return not_open(state.directory);
    return scan_blocking(*state.db, from, to, limit);
  });
}

}  // namespace forelog::env

#if __has_feature(thread_sanitizer)
// LevelDB comes without the sanitizer, which then sees the bytes that its readers compare and its writer copies, but
// not the atomics inside that publish them. Calls at once are what LevelDB promises to bear. (`called_from_lib` would
// hide its mutexes too.)
extern "C" const char* __tsan_default_suppressions() { return "race:libleveldb.so\n"; }
#endif
