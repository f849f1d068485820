// location.h: where the archive is: bucket, endpoint, region, and the URLs that follow from them.
//
// Pure.
#pragma once

#include "broker/base/result.h"

#include <string>
#include <string_view>

namespace forelog::env::s3 {

enum class PathStyle : std::uint8_t { automatic, yes, no };

struct LocationSettings {
  std::string url;                              // s3://bucket/prefix
  std::string endpoint;                         // "https://host:port"; empty: Amazon's of the region
  std::string region;                           // empty: us-east-1
  PathStyle path_style = PathStyle::automatic;  // automatic: where an endpoint is given
};

struct Location {
  std::string bucket;
  std::string prefix;  // of all keys; empty, or with a slash at its end
  std::string region;
  std::string scheme;  // "http" or "https"
  std::string host;    // as it is signed: with the port unless it is the scheme's own
  std::string path;    // what the encoded key is appended to: "/" or "/bucket/"

  bool is_secure() const { return scheme == "https"; }
  std::string path_of(std::string_view key) const;  // encoded; an empty key is the bucket itself
  std::string url_of(std::string_view encoded_path, std::string_view query) const;
  std::string text() const;  // "s3://bucket/prefix at https://host": for people
};

// `url` as errors may repeat it: without what stands before an '@', which may be a password.
std::string without_secrets(const std::string& url);

// InvalidSetting says which setting is wrong, and what it should look like.
Result<Location> locate(const LocationSettings& settings);

}  // namespace forelog::env::s3
