// outcome_ledger.h: what became of each prefetched extent, put together from what becomes of its blocks.
//
// Pure, bounded, one per core. An extent ends when all its blocks have: used, late or unused as a whole (used when its
// first use found it in memory; late when somebody waited; unused when no block was read; refused when none was
// loaded), with the bytes that were read. When too many are open, the oldest is ended as far as it is known.
#pragma once

#include "broker/prefetch/hint.h"
#include "broker/prefetch/prefetch_queue.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace forelog::prefetch {

class OutcomeLedger {
 public:
  using Tag = std::uint64_t;
  // Why an extent with this tag was loaded; the tag travels with its blocks.
  static Reason reason_of(Tag tag) { return static_cast<Reason>(tag % kTagStep); }
  explicit OutcomeLedger(std::size_t open_max) : open_max_(open_max) {}

  // A load is about to start; outcomes with this tag belong to it. Yields what had to be ended to make room.
  Tag open(const QueuedExtent& entry, std::vector<OutcomeEvent>& ended);
  // The cache took `blocks` of it, those refused included; the others it had already.
  std::optional<OutcomeEvent> expect(Tag tag, std::uint32_t blocks);
  // Yields the extent's outcome with the last of its blocks.
  std::optional<OutcomeEvent> note(const cache::PrefetchOutcome& outcome);
  // Extents that are loaded, or on their way, for this reader alone.
  std::vector<Extent> open_for(ReaderId reader) const;

  // An extent that never came to be loaded.
  static OutcomeEvent refused(const QueuedExtent& entry, Refusal why);

  std::size_t size() const { return open_.size(); }

 private:
  struct Open {
    OutcomeEvent event;
    std::uint32_t settled = 0;
    std::optional<std::uint32_t> expected;
    std::uint32_t refused = 0;
  };
  std::optional<OutcomeEvent> end_if_settled(std::map<Tag, Open>::iterator open);

  static constexpr Tag kTagStep = 16;  // between two extents; the rest tells the reason
  static_assert(kReasonCount <= static_cast<int>(kTagStep));
  std::size_t open_max_;
  std::map<Tag, Open> open_;
  Tag next_ = kTagStep;
};

}  // namespace forelog::prefetch
