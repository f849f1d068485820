// access_log_json.h: a record of the access log as one line of JSON.
#pragma once

#include "broker/base/result.h"

#include <string>
#include <string_view>

namespace forelog::cli {

// Malformed when `record` is not an AccessLogRecord.
Result<std::string> access_log_json(std::string_view record);

}  // namespace forelog::cli
