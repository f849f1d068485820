#include "broker/env/object_key.h"

#include <algorithm>

namespace forelog::env {
namespace {

constexpr std::size_t kKeySizeMax = 1024;
constexpr std::size_t kPartSizeMax = 255;

}  // namespace

bool is_object_key(std::string_view key) {
  if (key.empty() || key.front() == '.' || key.size() > kKeySizeMax || key.find('\0') != key.npos) return false;
  for (std::size_t at = 0; at <= key.size();) {
    auto end = std::min(key.find('/', at), key.size());
    auto part = key.substr(at, end - at);
    if (part.empty() || part == "." || part == ".." || part.size() > kPartSizeMax) return false;
    at = end + 1;
  }
  return true;
}

}  // namespace forelog::env
