// header.h: what stands between a frame's length and its message.
//
// Requests: v1, or v2 (with a tag section) where the API's version is flexible. The client id is a classic string in
// both. Responses: v0, or v1 where flexible; ApiVersions answers with v0 at every version, so that a client can read
// the answer to a version that the broker does not know (KIP-511).
#pragma once

#include "broker/base/byte_writer.h"
#include "broker/base/result.h"
#include "broker/wire/api_table.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::wire {

struct RequestHeader {
  std::int16_t api_key = 0;
  Version version = 0;
  std::int32_t correlation_id = 0;
  std::optional<std::string> client_id;
};

struct ParsedRequest {
  RequestHeader header;
  const ApiRow* api = nullptr;  // null when the key or version is not served: then `body` has no known meaning
  Buffer body;                  // a slice of the frame
};

// `frame` is without its length. Malformed when even the header does not fit.
Result<ParsedRequest> parse_request(const Buffer& frame);

struct ParsedResponse {
  std::int32_t correlation_id = 0;
  Buffer body;
};
Result<ParsedResponse> parse_response(const Buffer& frame, const ApiRow& api, Version version);

void write_request_header(ByteWriter& out, const ApiRow& api, Version version, std::int32_t correlation_id,
                          std::string_view client_id);
void write_response_header(ByteWriter& out, const ApiRow& api, Version version, std::int32_t correlation_id);

}  // namespace forelog::wire
