// shard_rewriter.h: writes the segment of a new generation, which is to take the place of a run of neighbouring shards.
//
// The file stands beside those of the shards it is made from, under its own generation, and nobody knows of it until
// LocalLog::replace_shards names it: a crash before leaves a file that the next start removes. Used on the partition's
// core; the caller feeds it batches in order and decides which.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/env/env.h"
#include "broker/env/object_store.h"
#include "broker/log/footer.h"

#include <memory>
#include <vector>

namespace forelog::log {

// Reads the batches of a sealed shard, a run of whole ones at a time. `content` checks what it reads, and outlives
// this.
class BatchScan {
 public:
  BatchScan(env::ObjectContent& content, Bytes data_size) : content_(content), size_(data_size) {}
  // The next whole batches, about 512 KiB together, but at least one; empty at the end. Fails CorruptFile, and as
  // `content` does.
  Task<Result<Buffer>> next();
  bool at_end() const { return position_ == size_; }  // what `next` returned last was the last

 private:
  env::ObjectContent& content_;
  Bytes size_;
  Bytes position_ = 0;
};

class ShardRewriter {
 public:
  using FooterPtr = std::shared_ptr<const Footer>;
  // `inputs`: footers of the run, in order. `segments_directory` is LogContext::directory.
  ShardRewriter(env::Env& env, env::Path segments_directory, ShardId target, std::vector<FooterPtr> inputs);

  Task<Result<void>> open();
  // A whole batch, after those before it. Written in pieces; fails as the disk does.
  Task<Result<void>> add(Buffer batch);
  // Writes footer, syncs file and directory. The footer covers all offsets of the run, has its epochs and aborted
  // transactions, and the producers as of its end. At least one batch was added.
  Task<Result<Footer>> finish();
  // Removes the file, if it can be; the next start would too. Instead of finish, or after it.
  Task<void> abandon();

  Bytes size() const { return builder_.size(); }

 private:
  Task<Result<void>> write_pending();
  env::Env& env_;
  env::Path segments_directory_;
  ShardId target_;
  std::vector<FooterPtr> inputs_;
  FooterBuilder builder_;
  env::FilePtr file_;
  Slices pending_;
  Bytes written_ = 0;
  Bytes pending_size_ = 0;
};

}  // namespace forelog::log
