// dump.h: any frame as text, for `forelog` and for logs of what a client sent.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/wire/header.h"

#include <string>

namespace forelog::wire {

// "Fetch v12 #7 from rdkafka: {max_wait_ms=500, …}". `frame` is without its length. Malformed as when it is decoded;
// a key or version that is not served is shown by its header alone.
Result<std::string> dump_request(const Buffer& frame);

// The same for the answer to a request of which `api` and `version` are known.
Result<std::string> dump_response(const Buffer& frame, const ApiRow& api, Version version);

}  // namespace forelog::wire
