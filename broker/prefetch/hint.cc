#include "broker/prefetch/hint.h"

#include <array>

namespace forelog::prefetch {

namespace {
constexpr std::array<std::string_view, kReasonCount> kReasons{
    "other",  "sequential",  "strided",  "group_offsets", "list_offsets", "offset_reset", "run",
    "stream", "association", "periodic", "twin",          "announced",    "retention"};
constexpr std::array<std::string_view, kRefusalCount> kRefusals{
    "none",     "malformed", "unknown_partition", "expired",   "overloaded", "over_budget",
    "disabled", "starved",   "already_warm",      "duplicate", "stopping",   "load_failed"};
}  // namespace

std::string_view name_of(Reason reason) { return kReasons[static_cast<std::size_t>(reason)]; }
std::string_view name_of(Refusal refusal) { return kRefusals[static_cast<std::size_t>(refusal)]; }

bool is_builtin(Reason reason) {
  switch (reason) {
    case Reason::sequential:
    case Reason::strided:
    case Reason::group_offsets:
    case Reason::list_offsets:
    case Reason::offset_reset:
    case Reason::retention:
      return true;
    default:
      return false;
  }
}

}  // namespace forelog::prefetch
