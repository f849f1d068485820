#include "broker/env/s3/uri.h"

namespace forelog::env::s3 {
namespace {

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::string encode(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (is_unreserved(c) || (keep_slashes && c == '/')) {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

}  // namespace

std::string encode_component(std::string_view text) { return encode(text, false); }
std::string encode_path(std::string_view path) { return encode(path, true); }

// Parameters are signed in the order of their encoded names. That is the order of the map: we use no name in which
// encoding would change it.
std::string encode_query(const Query& query) {
  std::string out;
  for (const auto& [name, value] : query) {
    if (!out.empty()) out += '&';
    out += encode_component(name) + '=' + encode_component(value);
  }
  return out;
}

}  // namespace forelog::env::s3
