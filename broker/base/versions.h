// versions.h: what to say of stored bytes whose format's version this release does not know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace forelog {

// "footer of version 3; this release reads up to 1: start the release that wrote it, or a newer one". A version of zero
// or less is no version at all.
inline std::string unknown_version(std::string_view what, std::int64_t found, std::int64_t newest) {
  auto text = std::string(what) + " of version " + std::to_string(found);
  if (found <= newest) return text + ", which no release has written: the bytes are damaged";
  return text + "; this release reads up to " + std::to_string(newest) +
         ": start the release that wrote it, or a newer one";
}

}  // namespace forelog
