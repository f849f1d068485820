// small_content.h: an object that is in memory, to be put.
#pragma once

#include "broker/env/object_store.h"

#include <utility>

namespace forelog::replication {

class SmallContent final : public env::ObjectContent {
 public:
  explicit SmallContent(Buffer bytes) : bytes_(std::move(bytes)) {}
  Bytes size() const override { return static_cast<Bytes>(bytes_.size()); }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    co_return bytes_.slice(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  }

 private:
  Buffer bytes_;
};

}  // namespace forelog::replication
