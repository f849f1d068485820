// leveldb_store.h: LocalStore in LevelDB, reached through a pool because its calls may touch the disk.
#pragma once

#include "broker/env/local_store.h"
#include "broker/env/real/blocking_pool.h"

#include <memory>
#include <string>

namespace leveldb {
class Cache;
class DB;
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
  LevelDbStore(BlockingPool& pool, std::unique_ptr<leveldb::Cache> cache, std::unique_ptr<leveldb::DB> db);

  BlockingPool& pool_;
  std::unique_ptr<leveldb::Cache> cache_;  // outlives the database
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace forelog::env
