// object_key.h: which names archive objects may have, in every store.
#pragma once

#include <string_view>

namespace forelog::env {

// A relative path with '/' between parts: none of them empty, "." or "..", none longer than 255 bytes, 1024 in all, no
// zero byte; the first part does not begin with a dot. Such a key is a file below a directory, whatever it contains.
bool is_object_key(std::string_view key);

}  // namespace forelog::env
