// segment_content.h: a sealed shard's bytes, each block checked against the footer as it is read.
//
// The checksums were taken from the bytes as they were appended, so damage, wherever it happened, is found here: it
// does not reach the archive, nor a new generation. Fails CorruptBlock.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/files.h"
#include "broker/env/object_store.h"
#include "broker/log/footer.h"

#include <functional>
#include <memory>

namespace forelog::log {

class SegmentContent final : public env::ObjectContent {
 public:
  // Reads `[from, from + size)` of the batches; fewer bytes when there are no more.
  using ReadRange = std::function<Task<Result<Buffer>>(Bytes from, Bytes size)>;
  SegmentContent(ReadRange read, std::shared_ptr<const Footer> footer);
  SegmentContent(env::FilePtr file, std::shared_ptr<const Footer> footer);

  Bytes size() const override { return footer_->size + static_cast<Bytes>(encoded_.size()); }
  Task<Result<Buffer>> read(Bytes from, Bytes wanted) override;
  const Footer& footer() const { return *footer_; }

 private:
  Task<Result<Buffer>> read_data(Bytes from, Bytes end);
  ReadRange read_;
  std::shared_ptr<const Footer> footer_;
  Buffer encoded_;
};

}  // namespace forelog::log
