// signature.h: AWS Signature Version 4 of a request to S3, carried in its headers.
//
// Pure: the caller passes the time. The secret key enters a MAC and nothing else: no error, log line or metric has it.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/time.h"
#include "broker/env/s3/uri.h"

#include <map>
#include <string>
#include <string_view>

namespace forelog::env::s3 {

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // empty for long-lived keys
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

// By name in lower case.
using Headers = std::map<std::string, std::string>;

struct Unsigned {
  std::string_view method;
  std::string_view host;  // as the server sees it: with the port, unless it is the scheme's own
  std::string_view path;  // encoded
  const Query& query;
  std::string_view payload;  // SHA-256 of the body in hex, or kUnsignedPayload
};
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kEmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Adds authorization, x-amz-date, x-amz-content-sha256 and x-amz-security-token to `headers`, all of which are signed.
void sign(const Unsigned& request, Headers& headers, const Credentials& credentials, std::string_view region,
          WallTime now);

std::string sha256_hex(const Slices& body);
std::string md5_base64(const Slices& body);
std::string crc32c_base64(const Slices& body);
std::string base64(ByteView bytes);

}  // namespace forelog::env::s3
