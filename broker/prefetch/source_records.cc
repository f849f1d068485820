#include "broker/prefetch/source_records.h"

#include <algorithm>

namespace forelog::prefetch {

void SourceRecords::configure(std::size_t window) {
  window = std::max<std::size_t>(window, 1);
  if (window == window_ && !records_[0].newest.empty()) return;
  window_ = window;
  for (auto& record : records_) record = {std::vector<bool>(window, false), 0, 0, 0};
}

void SourceRecords::note(Reason source, bool was_read) {
  auto& record = of(source);
  auto place = record.noted++ % window_;
  record.read -= record.newest[place] ? 1 : 0;
  record.newest[place] = was_read;
  record.read += was_read ? 1 : 0;
}

bool SourceRecords::is_starved(Reason source) const {
  const auto& record = of(source);
  return source != Reason::announced && record.noted >= window_ && record.read == 0;
}

bool SourceRecords::admit(Reason source) {
  if (!is_starved(source)) return true;
  auto& record = of(source);
  record.held_back = (record.held_back + 1) % kTrickle;
  return record.held_back == 0;
}

double SourceRecords::precision(Reason source) const {
  const auto& record = of(source);
  auto known = std::min(record.noted, window_);
  return known == 0 ? 1 : static_cast<double>(record.read) / static_cast<double>(known);
}

}  // namespace forelog::prefetch
