#include "broker/env/s3/location.h"

#include "broker/env/object_key.h"
#include "broker/env/s3/uri.h"

#include <algorithm>

namespace forelog::env::s3 {
namespace {

constexpr std::string_view kDefaultRegion = "us-east-1";

bool all_of(std::string_view text, std::string_view extra) {
  return std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || extra.find(c) != std::string_view::npos;
  });
}

Result<void> check_bucket(const std::string& bucket, const std::string& url) {
  // S3's rules; other servers allow no less.
  bool ok = bucket.size() >= 3 && bucket.size() <= 63 && all_of(bucket, ".-") && bucket.front() != '-' &&
            bucket.front() != '.' && bucket.back() != '-' && bucket.back() != '.' &&
            bucket.find("..") == std::string::npos;
  if (ok) return {};
  return fail(ErrorCode::kInvalidSetting,
              "archive.url '" + without_secrets(url) + "': '" + (url.contains('@') ? "***" : bucket) +
                  "' is not the name of a bucket (3 to 63 of a-z, 0-9, '-' and '.'), as in s3://bucket/prefix");
}

struct Endpoint {
  std::string scheme;
  std::string host;
};

Result<Endpoint> parse_endpoint(const std::string& text) {
  auto wrong = [&](const std::string& why) {
    return fail(ErrorCode::kInvalidSetting, "archive.s3.endpoint '" + without_secrets(text) + "': " + why +
                                                "; it looks like https://host or http://host:port");
  };
  if (text.find('@') != std::string::npos)
    return wrong("it holds a user or a password, and keys stand in settings of their own");
  Endpoint endpoint;
  auto separator = text.find("://");
  if (separator == std::string::npos) return wrong("it begins with http:// or https://");
  endpoint.scheme = text.substr(0, separator);
  if (endpoint.scheme != "http" && endpoint.scheme != "https") return wrong("it begins with http:// or https://");
  endpoint.host = text.substr(separator + 3);
  if (endpoint.host.ends_with('/')) endpoint.host.pop_back();
  std::ranges::transform(endpoint.host, endpoint.host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  auto after_brackets = endpoint.host.starts_with('[') ? endpoint.host.find(']') : 0;  // an IPv6 address
  if (after_brackets == std::string::npos) return wrong("its address has no end");
  auto colon = endpoint.host.find(':', after_brackets);
  auto name = endpoint.host.substr(0, colon);
  if (name.empty()) return wrong("it names no host");
  if (!all_of(name, "-._[]:")) return wrong("it holds more than a host and a port");
  if (colon == std::string::npos) return endpoint;
  auto port = endpoint.host.substr(colon + 1);
  bool ok = !port.empty() && port.size() <= 5 && std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  if (!ok || std::stoi(port) < 1 || std::stoi(port) > 65535) return wrong("its port is not 1 to 65535");
  bool is_default = port == (endpoint.scheme == "https" ? "443" : "80");
  if (is_default) endpoint.host = name;
  return endpoint;
}

}  // namespace

std::string without_secrets(const std::string& url) {
  auto at = url.rfind('@');
  if (at == std::string::npos) return url;
  auto separator = url.find("://");
  auto begin = separator == std::string::npos || separator > at ? 0 : separator + 3;
  return url.substr(0, begin) + "***" + url.substr(at);
}

Result<Location> locate(const LocationSettings& settings) {
  constexpr std::string_view kScheme = "s3://";
  if (!settings.url.starts_with(kScheme))
    return fail(ErrorCode::kInvalidSetting,
                "archive.url '" + without_secrets(settings.url) + "' is not s3://bucket/prefix");
  Location out;
  auto rest = settings.url.substr(kScheme.size());
  auto slash = std::min(rest.find('/'), rest.size());
  out.bucket = rest.substr(0, slash);
  TRY(check_bucket(out.bucket, settings.url));
  out.prefix = rest.substr(std::min(slash + 1, rest.size()));
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  if (!out.prefix.empty()) {
    if (!is_object_key(out.prefix))
      return fail(ErrorCode::kInvalidSetting, "archive.url '" + without_secrets(settings.url) +
                                                  "': the prefix has an empty part, or one that is '.' or '..'");
    out.prefix += '/';
  }
  out.region = settings.region.empty() ? kDefaultRegion : settings.region;
  if (!all_of(out.region, "-"))
    return fail(ErrorCode::kInvalidSetting, "archive.s3.region '" + out.region + "' is not a region, as in eu-west-1");
  auto endpoint = TRY(
      parse_endpoint(settings.endpoint.empty() ? "https://s3." + out.region + ".amazonaws.com" : settings.endpoint));
  out.scheme = endpoint.scheme;
  // A bucket with dots in its name is no single label, so no certificate of Amazon's covers it as a host.
  bool automatic = !settings.endpoint.empty() || out.bucket.find('.') != std::string::npos;
  bool in_path = settings.path_style == PathStyle::automatic ? automatic : settings.path_style == PathStyle::yes;
  out.host = in_path ? endpoint.host : out.bucket + "." + endpoint.host;
  out.path = in_path ? "/" + out.bucket + "/" : "/";
  return out;
}

std::string Location::path_of(std::string_view key) const {
  // The bucket itself goes without the slash behind it: some servers take "/bucket/" for an object.
  if (key.empty()) return path.size() > 1 ? path.substr(0, path.size() - 1) : path;
  return path + encode_path(prefix + std::string(key));
}

std::string Location::url_of(std::string_view encoded_path, std::string_view query) const {
  std::string out = scheme + "://" + host;
  out += encoded_path;
  if (!query.empty()) out += '?';
  out += query;
  return out;
}

std::string Location::text() const {
  return "s3://" + bucket + "/" + (prefix.empty() ? "" : prefix.substr(0, prefix.size() - 1)) + " at " + scheme +
         "://" + host;
}

}  // namespace forelog::env::s3
