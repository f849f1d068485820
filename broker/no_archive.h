// no_archive.h: the object store of a broker without one. Nothing is put there, and whatever is asked of it fails
// clearly.
#pragma once

#include "broker/env/object_store.h"

namespace forelog {

class NoArchive final : public env::ObjectStore {
 public:
  Task<Result<void>> put(std::string key, env::ObjectContent&, Deadline) override { co_return refuse(key); }
  Task<Result<void>> get_range(std::string key, Bytes, Bytes, OnPiece, env::TrafficClass, Deadline) override {
    co_return refuse(key);
  }
  Task<Result<env::ObjectInfo>> head(std::string key, Deadline) override { co_return refuse(key); }
  Task<Result<void>> remove(std::string key, Deadline) override { co_return refuse(key); }
  Task<Result<std::vector<env::ObjectInfo>>> list(std::string prefix, std::string, std::size_t, Deadline) override {
    co_return refuse(prefix);
  }

 private:
  static std::unexpected<Error> refuse(const std::string& key) {
    return fail(ErrorCode::kArchiveUnavailable, key + ": archive.url is not set");
  }
};

}  // namespace forelog
