// http_client.h: requests to a broker's admin listener (libcurl).
#pragma once

#include "broker/base/result.h"

#include <functional>
#include <map>
#include <string>

namespace forelog::cli {

inline constexpr const char* kDefaultAdmin = "127.0.0.1:9600";
using Query = std::map<std::string, std::string>;

// The body of the answer. Unavailable when nobody answers; NotFound, InvalidSetting (400) and Unknown with what the
// broker says. At most 64 MiB.
Result<std::string> http_get(const std::string& admin, const std::string& path, const Query& query);
Result<std::string> http_post(const std::string& admin, const std::string& path, const Query& query);

}  // namespace forelog::cli
