#include "broker/env/real/leveldb_store.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>

namespace forelog::env {
namespace {

// The store holds little and is read rarely: memory belongs to the block cache.
constexpr std::size_t kWriteBufferSize = 1 << 20;
constexpr std::size_t kCacheSize = 1 << 20;
constexpr int kOpenFilesMax = 100;

Error error_of(const char* doing, const leveldb::Status& status) {
  auto text = status.ToString();
  auto code = ErrorCode::kIo;
  if (status.IsCorruption()) code = ErrorCode::kCorruptFile;
  if (text.find("No space left") != text.npos || text.find("File too large") != text.npos) code = ErrorCode::kDiskFull;
  return {code, std::string(doing) + " the local store: " + text};
}

Result<std::optional<std::string>> get_blocking(leveldb::DB& db, const std::string& key) {
  std::string value;
  auto status = db.Get(leveldb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return fail(error_of("reading", status));
  return value;
}

Result<void> commit_blocking(leveldb::DB& db, const StoreBatch& batch, Durability durability) {
  leveldb::WriteBatch writes;
  for (const auto& change : batch.changes) {
    if (change.value)
      writes.Put(change.key, *change.value);
    else
      writes.Delete(change.key);
  }
  leveldb::WriteOptions options;
  options.sync = durability == Durability::synced;
  auto status = db.Write(options, &writes);
  if (!status.ok()) return fail(error_of("writing", status));
  return {};
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

LevelDbStore::LevelDbStore(BlockingPool& pool, std::unique_ptr<leveldb::Cache> cache, std::unique_ptr<leveldb::DB> db)
    : pool_(pool), cache_(std::move(cache)), db_(std::move(db)) {}

LevelDbStore::~LevelDbStore() = default;

Result<std::unique_ptr<LevelDbStore>> LevelDbStore::open(const std::string& directory, BlockingPool& pool) {
  std::unique_ptr<leveldb::Cache> cache(leveldb::NewLRUCache(kCacheSize));
  leveldb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = kWriteBufferSize;
  options.block_cache = cache.get();
  options.max_open_files = kOpenFilesMax;
  leveldb::DB* db = nullptr;
  auto status = leveldb::DB::Open(options, directory, &db);
  if (!status.ok()) return fail(error_of("opening", status));
  return std::unique_ptr<LevelDbStore>(new LevelDbStore(pool, std::move(cache), std::unique_ptr<leveldb::DB>(db)));
}

Task<Result<std::optional<std::string>>> LevelDbStore::get(std::string key) {
  return pool_.run([&db = *db_, key = std::move(key)] { return get_blocking(db, key); });
}

Task<Result<void>> LevelDbStore::commit(StoreBatch batch, Durability durability) {
  return pool_.run(
      [&db = *db_, batch = std::move(batch), durability] { return commit_blocking(db, batch, durability); });
}

Task<Result<LocalStore::Entries>> LevelDbStore::scan(std::string from, std::string to, std::size_t limit) {
  return pool_.run(
      [&db = *db_, from = std::move(from), to = std::move(to), limit] { return scan_blocking(db, from, to, limit); });
}

}  // namespace forelog::env
