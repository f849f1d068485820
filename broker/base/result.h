// result.h: expected failure. A function that may fail returns Result<T>; who cannot act passes the error on with TRY
// (in a coroutine CO_TRY). What must not happen is a CHECK instead.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace forelog {

enum class ErrorCode : std::uint8_t {
#define ERROR(name, wire, retriable, text) k##name,
#include "broker/base/errors.def"
#undef ERROR
};

std::string_view name_of(ErrorCode code);   // "NotLeader"
std::string_view text_of(ErrorCode code);   // what it means, as a clause
std::int16_t wire_code_of(ErrorCode code);  // Kafka's code
bool is_retriable(ErrorCode code);

// What went wrong, and with what: `context` is written where the error is born and names things.
struct Error {
  ErrorCode code = ErrorCode::kUnknown;
  std::string context;

  std::string text() const;  // "NotLeader: this broker does not lead the partition (orders-3)"
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string context) {
  return std::unexpected(Error{code, std::move(context)});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

// The same error, with a word in front on what was being done.
std::unexpected<Error> fail_while(std::string_view doing, Error error);

}  // namespace forelog

// The value of a Result, or return its error from this function. Statement expressions are clang's (and GNU's).
#define TRY(expression)                                      \
  ({                                                         \
    auto try_result = (expression);                          \
    if (!try_result) [[unlikely]]                            \
      return ::forelog::fail(std::move(try_result).error()); \
    ::forelog::detail::take(std::move(try_result));          \
  })
#define CO_TRY(expression)                                      \
  ({                                                            \
    auto try_result = (expression);                             \
    if (!try_result) [[unlikely]]                               \
      co_return ::forelog::fail(std::move(try_result).error()); \
    ::forelog::detail::take(std::move(try_result));             \
  })

namespace forelog::detail {
template <class T>
T take(Result<T>&& result) {
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}
}  // namespace forelog::detail
