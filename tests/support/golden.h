// golden.h: bytes as a release wrote them, kept in tests/golden as hex. Every later release reads them.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace forelog::test {

// The bytes of tests/golden/<name>.hex. UPDATE=1 writes `now` to a file that is not there yet; one that is there never
// changes: a format that changes gets a new version, and a file of its own. Tests run from the source's root.
inline std::string golden(std::string_view name, std::string_view now) {
  auto path = "tests/golden/" + std::string(name) + ".hex";
  if (std::getenv("UPDATE") != nullptr && !std::ifstream(path)) {
    std::ofstream out(path);
    for (std::size_t i = 0; i < now.size(); ++i) {
      auto byte = static_cast<unsigned char>(now[i]);
      out << "0123456789abcdef"[byte >> 4] << "0123456789abcdef"[byte & 15] << ((i + 1) % 32 == 0 ? "\n" : "");
    }
    out << "\n";
  }
  std::ifstream in(path);
  EXPECT_TRUE(in) << path << " is missing; UPDATE=1 writes it";
  std::string bytes;
  int high = -1;
  for (std::istreambuf_iterator<char> at(in), end; at != end; ++at) {
    if (*at == '\n') continue;
    int digit = *at <= '9' ? *at - '0' : *at - 'a' + 10;
    if (high >= 0) bytes.push_back(static_cast<char>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

}  // namespace forelog::test
