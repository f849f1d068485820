// uri.h: bytes as they stand in the URLs of S3, which signs them: every byte but A–Z a–z 0–9 - . _ ~ becomes %XX.
//
// Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace forelog::env::s3 {

std::string encode_component(std::string_view text);
// The same, but a '/' stays: for paths.
std::string encode_path(std::string_view path);

// Parameters by name; a name without a value has an empty one.
using Query = std::map<std::string, std::string>;
// "a=1&b=" in the order of the names, as it is sent and as it is signed.
std::string encode_query(const Query& query);

}  // namespace forelog::env::s3
