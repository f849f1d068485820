// source_records.h: how often what each source of prefetches named was read, and whether it may go on.
//
// Pure. A source is a Reason: each has one generator behind it. One whose newest `window` extents were all left unread
// is starved: one in `kTrickle` of its wishes passes, so that it can show that it has learned. What people announced is
// never starved.
#pragma once

#include "broker/prefetch/hint.h"

#include <array>
#include <vector>

namespace forelog::prefetch {

class SourceRecords {
 public:
  static constexpr int kTrickle = 64;
  explicit SourceRecords(std::size_t window) { configure(window); }

  void configure(std::size_t window);
  void note(Reason source, bool was_read);
  // Whether the next wish of `source` may pass; counts it.
  bool admit(Reason source);
  bool is_starved(Reason source) const;
  // Part of the newest extents that was read; 1 where nothing is known.
  double precision(Reason source) const;

 private:
  struct Record {
    std::vector<bool> newest;  // a ring
    std::size_t noted = 0;
    std::size_t read = 0;  // in the ring
    int held_back = 0;
  };
  const Record& of(Reason source) const { return records_[static_cast<std::size_t>(source)]; }
  Record& of(Reason source) { return records_[static_cast<std::size_t>(source)]; }

  std::size_t window_ = 1;
  std::array<Record, kReasonCount> records_;
};

}  // namespace forelog::prefetch
