#include "broker/prefetch/outcome_ledger.h"

#include <algorithm>
#include <utility>

namespace forelog::prefetch {

namespace {

Refusal to_refusal(cache::RefusedWhy why) {
  switch (why) {
    case cache::RefusedWhy::none:
      return Refusal::none;
    case cache::RefusedWhy::share_full:
    case cache::RefusedWhy::memory_full:
    case cache::RefusedWhy::slots_full:
      return Refusal::over_budget;
    case cache::RefusedWhy::load_failed:
      return Refusal::load_failed;
    case cache::RefusedWhy::stopping:
      return Refusal::stopping;
  }
  return Refusal::none;
}

void keep_earliest(std::optional<Instant>& kept, Instant at) {
  if (at != Instant{}) kept = std::min(kept.value_or(at), at);
}
void keep_latest(std::optional<Instant>& kept, Instant at) {
  if (at != Instant{}) kept = std::max(kept.value_or(at), at);
}

}  // namespace

OutcomeLedger::Tag OutcomeLedger::open(const QueuedExtent& entry, std::vector<OutcomeEvent>& ended) {
  if (open_.size() >= open_max_) {
    ended.push_back(std::move(open_.begin()->second.event));
    open_.erase(open_.begin());
  }
  auto tag = next_ + static_cast<Tag>(entry.cause.reason);
  next_ += kTagStep;
  auto& event = open_[tag].event;
  event.cause = entry.cause;
  event.extent = entry.extent;
  event.reader = entry.reader;
  event.outcome = OutcomeKind::unused;
  return tag;
}

OutcomeEvent OutcomeLedger::refused(const QueuedExtent& entry, Refusal why) {
  OutcomeEvent event;
  event.cause = entry.cause;
  event.extent = entry.extent;
  event.reader = entry.reader;
  event.outcome = OutcomeKind::refused;
  event.refusal = why;
  event.bytes = static_cast<Bytes>(entry.extent.count) * kBlockSize;
  return event;
}

std::optional<OutcomeEvent> OutcomeLedger::expect(Tag tag, std::uint32_t blocks) {
  auto open = open_.find(tag);
  if (open == open_.end()) return std::nullopt;
  if (blocks == 0) {
    open_.erase(open);  // nothing was left to load, so nothing comes of it
    return std::nullopt;
  }
  open->second.expected = blocks;
  return end_if_settled(open);
}

std::optional<OutcomeEvent> OutcomeLedger::note(const cache::PrefetchOutcome& outcome) {
  auto open = open_.find(outcome.cause.tag);
  if (open == open_.end()) return std::nullopt;
  auto& [event, settled, expected, refused_blocks] = open->second;
  settled += outcome.range.count;
  keep_earliest(event.started, outcome.started);
  keep_latest(event.in_memory, outcome.in_memory);
  bool asked_first = outcome.first_used != Instant{} && (!event.first_used || outcome.first_used < *event.first_used);
  keep_earliest(event.first_used, outcome.first_used);
  if (asked_first) event.used_by = outcome.used_by;
  switch (outcome.kind) {
    case OutcomeKind::used:
      event.bytes += outcome.bytes;
      event.used_bytes += outcome.bytes;
      if (asked_first) event.outcome = OutcomeKind::used;
      break;
    case OutcomeKind::late:
      event.bytes += outcome.bytes;
      event.used_bytes += outcome.bytes;
      event.outcome = OutcomeKind::late;
      event.late = std::max(event.late, outcome.in_memory - outcome.first_used);
      break;
    case OutcomeKind::unused:
      event.bytes += outcome.bytes;
      break;
    case OutcomeKind::refused:
      refused_blocks += outcome.range.count;
      event.refusal = to_refusal(outcome.why);
      break;
  }
  return end_if_settled(open);
}

std::vector<Extent> OutcomeLedger::open_for(ReaderId reader) const {
  std::vector<Extent> out;
  for (const auto& [tag, open] : open_) {
    if (open.event.reader == reader) out.push_back(open.event.extent);
  }
  return out;
}

std::optional<OutcomeEvent> OutcomeLedger::end_if_settled(std::map<Tag, Open>::iterator open) {
  auto& [event, settled, expected, refused_blocks] = open->second;
  if (!expected || settled < *expected) return std::nullopt;
  if (refused_blocks == settled) {
    event.outcome = OutcomeKind::refused;
    event.bytes = static_cast<Bytes>(refused_blocks) * kBlockSize;
  }
  auto out = std::move(event);
  open_.erase(open);
  return out;
}

}  // namespace forelog::prefetch
