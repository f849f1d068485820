#include "broker/base/result.h"

#include <array>

namespace forelog {
namespace {

struct Row {
  std::string_view name;
  std::int16_t wire;
  bool retriable;
  std::string_view text;
};

constexpr Row kRows[] = {
#define ERROR(name, wire, retriable, text) {#name, wire, retriable, text},
#include "broker/base/errors.def"
#undef ERROR
};

const Row& row(ErrorCode code) { return kRows[static_cast<std::size_t>(code)]; }

}  // namespace

std::string_view name_of(ErrorCode code) { return row(code).name; }
std::string_view text_of(ErrorCode code) { return row(code).text; }
std::int16_t wire_code_of(ErrorCode code) { return row(code).wire; }
bool is_retriable(ErrorCode code) { return row(code).retriable; }

std::string Error::text() const {
  std::string out{name_of(code)};
  out += ": ";
  out += text_of(code);
  if (!context.empty()) out += " (" + context + ")";
  return out;
}

std::unexpected<Error> fail_while(std::string_view doing, Error error) {
  error.context = error.context.empty() ? std::string(doing) : std::string(doing) + ": " + error.context;
  return std::unexpected(std::move(error));
}

}  // namespace forelog
