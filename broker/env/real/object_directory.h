// object_directory.h: the blocking half of an archive in a directory: names, publishing, listing.
#pragma once

#include "broker/base/result.h"
#include "broker/env/object_store.h"

#include <string>
#include <string_view>
#include <vector>

namespace forelog::env {

// Where objects lie until they are whole; no key begins with a dot.
inline constexpr std::string_view kUploading = ".uploading";

// ArchiveUnavailable in place of NotFound when the directory itself is gone.
Error archive_error(const std::string& directory, Error error);

// Syncs `path` into being: renames `temporary` to the key's file, making directories as needed.
Result<void> publish_object(const std::string& directory, const std::string& temporary, const std::string& key);
// Removes what is not whole, of all lives but the one whose names begin with `life`.
void clear_uploads(const std::string& directory, const std::string& life);
Result<void> remove_object(const std::string& directory, const std::string& key);
Result<std::vector<ObjectInfo>> list_objects(const std::string& directory, const std::string& prefix,
                                             const std::string& after, std::size_t limit);

}  // namespace forelog::env
