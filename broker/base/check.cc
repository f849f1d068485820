#include "broker/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace forelog {

void check_failed(const char* file, int line, const char* condition, const char* note) noexcept {
  std::fprintf(stderr, "%s:%d: CHECK(%s) failed%s%s\n", file, line, condition, *note == 0 ? "" : ": ", note);
  std::fflush(stderr);
  std::abort();
}

}  // namespace forelog
