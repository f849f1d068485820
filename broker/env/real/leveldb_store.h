// leveldb_store.h: LocalStore in LevelDB, reached through a pool because its calls may touch the disk.
//
// A write that fails, as on a full disk, leaves half a record at the end of LevelDB's log: what it would append behind
// that is acknowledged, and gone after the next start. So nothing is appended to a file that has failed once; commits
// fail with DiskFull while little space is left, and after a failed write the database is closed and opened anew, which
// cuts the log's end off.
#pragma once

#include "broker/env/local_store.h"
#include "broker/env/real/blocking_pool.h"

#include <memory>
#include <shared_mutex>
#include <string>

namespace leveldb {
class Cache;
class DB;
class Env;
}  // namespace leveldb

namespace forelog::env {

class LevelDbStore final : public LocalStore {
 public:
  // Opens or creates the store in `directory`; fails when another process has it. Blocks.
  static Result<std::unique_ptr<LevelDbStore>> open(const std::string& directory, BlockingPool& pool);
  ~LevelDbStore() override;

  Task<Result<std::optional<std::string>>> get(std::string key) override;
  Task<Result<void>> commit(StoreBatch batch, Durability durability) override;
  Task<Result<Entries>> scan(std::string from, std::string to, std::size_t limit) override;

 private:
  // What calls on the pool's threads share.
  struct State {
    State();
    ~State();
    std::string directory;
    std::unique_ptr<leveldb::Env> files;  // outlives the database, as does the cache
    std::unique_ptr<leveldb::Cache> cache;
    std::unique_ptr<leveldb::DB> db;  // null when opening it anew has failed
    bool failed = false;              // a write: not to be written to before it is opened anew
    std::shared_mutex mutex;          // exclusive: the database is being opened anew
  };
  LevelDbStore(BlockingPool& pool, std::unique_ptr<State> state);

  static Result<void> open_database(State& state);
  static Result<void> commit_blocking(State& state, const StoreBatch& batch, Durability durability);

  BlockingPool& pool_;
  std::unique_ptr<State> state_;
};

}  // namespace forelog::env
