#include "broker/cache/block.h"

namespace forelog::cache {

std::string BlockRange::text() const {
  auto last = count == 0 ? first : end() - 1;
  return shard.text() + " blocks " + std::to_string(first) + ".." + std::to_string(last);
}

std::string_view name_of(LoadKind kind) {
  switch (kind) {
    case LoadKind::demand:
      return "demand";
    case LoadKind::prefetch:
      return "prefetch";
    case LoadKind::head:
      return "head";
  }
  return "?";
}

std::string_view name_of(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::used:
      return "used";
    case OutcomeKind::late:
      return "late";
    case OutcomeKind::unused:
      return "unused";
    case OutcomeKind::refused:
      return "refused";
  }
  return "?";
}

std::string_view name_of(RefusedWhy why) {
  switch (why) {
    case RefusedWhy::none:
      return "none";
    case RefusedWhy::share_full:
      return "share_full";
    case RefusedWhy::memory_full:
      return "memory_full";
    case RefusedWhy::slots_full:
      return "slots_full";
    case RefusedWhy::load_failed:
      return "load_failed";
    case RefusedWhy::stopping:
      return "stopping";
  }
  return "?";
}

}  // namespace forelog::cache
