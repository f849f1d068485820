// identity.h: which archive this is: a random id in an object at the root of the prefix. FORMAT.md has the bytes.
//
// Whoever has archived something remembers the id, and so notices when he is sent to another archive.
#pragma once

#include "broker/base/ids.h"
#include "broker/env/object_store.h"

#include <optional>
#include <string>
#include <string_view>

namespace forelog::archive {

using ArchiveId = TopicId;  // as random, and written alike

std::string identity_key(std::string_view prefix);  // "<prefix>/archive.id"

std::string encode_identity(const ArchiveId& id);
// CorruptFile: no such object, or a damaged one. NewerFormat: of a newer release. A checksum may be missing:
// people write it.
Result<ArchiveId> decode_identity(std::string_view text);

// None when the archive has no id. Not having an archive at all, a bucket that does not exist, is an error.
Task<Result<std::optional<ArchiveId>>> read_identity(env::ObjectStore& store, std::string prefix, Deadline deadline);
Task<Result<void>> put_identity(env::ObjectStore& store, std::string prefix, ArchiveId id, Deadline deadline);

}  // namespace forelog::archive
