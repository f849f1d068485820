// shard_object.h: one archived shard is one object: the segment file, byte for byte. FORMAT.md has the names.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/files.h"
#include "broker/env/object_store.h"
#include "broker/log/footer.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::archive {

// "<prefix>/<topic id>/<partition>/<base, 20 digits>.<generation>"
std::string object_key(std::string_view prefix, const ShardId& shard);
// What all objects of a partition begin with, and nothing else does: "<prefix>/<topic id>/<partition>/".
std::string partition_prefix(std::string_view prefix, const PartitionKey& partition);
// The shard that `key` names; none for anything else, manifests for one.
std::optional<ShardId> parse_object_key(std::string_view prefix, std::string_view key);

// The first `size` bytes of an open file.
class FileContent final : public env::ObjectContent {
 public:
  FileContent(env::FilePtr file, Bytes size) : file_(std::move(file)), size_(size) {}
  Bytes size() const override { return size_; }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override;

 private:
  env::FilePtr file_;
  Bytes size_;
};

// Puts a whole segment, footer included, and checks that the archive has it: its size, and that what comes back as its
// footer is `footer`. Succeeds at once when an equal object is there already. `content` outlives the task.
Task<Result<void>> put_shard(env::ObjectStore& store, std::string key, env::ObjectContent& content,
                             const log::Footer& footer, Deadline deadline);

// Reads the footer of an object. With sizes known that is one request, else the end of the object is looked for first.
// Errors: NotFound, CorruptFile (it is not a shard, or not this one), and the store's.
struct ObjectShape {
  Bytes size = 0;
  Bytes footer_size = 0;
};
Task<Result<log::Footer>> read_footer(env::ObjectStore& store, std::string key, ShardId shard,
                                      std::optional<ObjectShape> shape, Deadline deadline);

// A range of an object in one piece, for small things.
Task<Result<Buffer>> read_range(env::ObjectStore& store, std::string key, Bytes from, Bytes size, Deadline deadline);

}  // namespace forelog::archive
