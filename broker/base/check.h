// check.h: what must hold, always. A broken invariant ends the process, in production too: a log that goes on after it
// has contradicted itself loses more than the time a restart takes.
#pragma once

namespace forelog {

// Prints the place and the condition to standard error, then aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* note) noexcept;

}  // namespace forelog

// CHECK(condition) or CHECK(condition, "what this means for whoever reads the crash").
#define CHECK(condition, ...)                                                  \
  do {                                                                         \
    if (!(condition)) [[unlikely]]                                             \
      ::forelog::check_failed(__FILE__, __LINE__, #condition, "" __VA_ARGS__); \
  } while (false)
