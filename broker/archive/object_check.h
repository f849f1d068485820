// object_check.h: whether an object in the archive is what its name says, byte for byte.
#pragma once

#include "broker/base/ids.h"
#include "broker/env/object_store.h"
#include "broker/log/footer.h"

#include <functional>
#include <string>

namespace forelog::archive {

// The footer of an object whose size is known, mostly by one request: the footer's own size stands at the very end.
// Errors: NotFound, CorruptFile (it is not a shard, or not this one), and the store's.
Task<Result<log::Footer>> read_footer_of(env::ObjectStore& store, std::string key, ShardId shard, Bytes object_size,
                                         Deadline deadline);

// Reads all bytes before the footer and compares each block with its checksum. `on_read` hears of bytes as they come.
// CorruptBlock names the first block that is wrong.
Task<Result<void>> check_blocks(env::ObjectStore& store, env::Clock& clock, std::string key, const log::Footer& footer,
                                std::function<void(Bytes)> on_read, Deadline deadline);

}  // namespace forelog::archive
