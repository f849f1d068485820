// hex.h: bytes written by hand, as in protocol pages.
#pragma once

#include "broker/base/bytes.h"

#include <string>
#include <string_view>

namespace forelog::wire {

inline int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// "0012 'abc' ff": pairs of hex digits, and text between quotes; blanks are ignored.
inline std::string bytes_of(std::string_view notation) {
  std::string out;
  bool quoted = false;
  int high = -1;
  for (char c : notation) {
    if (c == '\'') {
      quoted = !quoted;
    } else if (quoted) {
      out.push_back(c);
    } else if (const int digit = hex_digit(c); digit >= 0) {
      if (high >= 0) out.push_back(static_cast<char>(high << 4 | digit));
      high = high >= 0 ? -1 : digit;
    }
  }
  return out;
}

// The other way round, for readable failures: all in hex, four bytes a group.
inline std::string hex(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0 && i % 4 == 0) out += ' ';
    const auto byte = static_cast<unsigned char>(bytes[i]);
    out += {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]};
  }
  return out;
}
inline std::string hex(const Buffer& bytes) { return hex(bytes.text()); }
inline std::string hex(const Slices& slices) { return hex(flatten(slices).text()); }

}  // namespace forelog::wire
