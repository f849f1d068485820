#include "broker/prefetch/read_ahead.h"

#include "broker/base/check.h"

#include <algorithm>
#include <cmath>

namespace forelog::prefetch {

namespace {

constexpr Duration kLateWait = 1ms;  // shorter waits are a hop, not a load
constexpr double kSlackMin = 2, kSlackMax = 32;
constexpr Bytes kEarned = 4;          // times what was read in order: the window of a reader that waits
constexpr std::int64_t kJumpy = 4;    // this many jumps, and a run must earn its window
constexpr std::int64_t kProven = 4;   // reads in order, of a reader whose runs were all shorter so far
constexpr Duration kIdleAfter = 10s;  // an idle reader lends its part of the allowance

}  // namespace

Bytes ReadAhead::bytes_of(Position positions) const {
  return static_cast<Bytes>(static_cast<double>(positions) * bytes_per_position_);
}

Position ReadAhead::positions_of(Bytes bytes) const {
  return std::max<Position>(1, static_cast<Position>(static_cast<double>(bytes) / bytes_per_position_));
}

// Asking again for the newest read, or for the rest of it, is what a client does that got only part.
bool ReadAhead::continues(const SeenRead& read) const {
  return reads_ > 0 && read.from >= last_from_ && read.from <= next_;
}

std::vector<Ahead> ReadAhead::on_read(const SeenRead& read, Instant now, Duration latency, Bytes limit, Position end) {
  CHECK(read.from < read.to);
  measure(read, now);
  bool jumped = !continues(read);
  bool onward = read.to > next_;
  if (jumped) begin_run(read);
  last_from_ = read.from;
  next_ = std::max(next_, read.to);
  if (onward || jumped) ++reads_;
  run_.length = next_ - run_.start;
  named_until_ = std::max(named_until_, next_);

  if (auto step = stride()) {
    if (!jumped) return {};
    resize(read, latency, limit);
    return strided(*step, now, latency, end);
  }
  if (reads_ < 2 || !onward || likely_over()) return {};
  resize(read, latency, limit);
  return sequential(now, latency, end);
}

void ReadAhead::begin_run(const SeenRead& read) {
  auto before = stride();
  if (reads_ > 0) {
    runs_[runs_seen_++ % kRunsKept] = run_;
    ++jumps_;
  }
  run_ = {read.from, 0};
  // A stride goes on: what was named ahead has come one run closer.
  bool same = before && stride() == before;
  strides_named_ = same ? std::max<Position>(0, strides_named_ - 1) : 0;
  if (!same) window_ = 0;
  reads_ = 0;
  consumed_ = 0;
  missed_at_ = -1;
  next_ = read.from;
  named_until_ = read.to;
}

void ReadAhead::measure(const SeenRead& read, Instant now) {
  double per_position = static_cast<double>(std::max<Bytes>(read.bytes, 1)) / static_cast<double>(read.to - read.from);
  bytes_per_position_ = bytes_per_position_ == 0 ? per_position : 0.75 * bytes_per_position_ + 0.25 * per_position;
  if (last_read_ != Instant{}) {
    // What the reader does with its bytes takes the time between two answers, less what it waited for loads.
    double seconds = std::max(to_seconds(now - last_read_ - read.wait), 10e-6);
    drained_ = 0.8 * drained_ + static_cast<double>(read.bytes);
    draining_ = 0.8 * draining_ + seconds;
  }
  last_read_ = now;
}

// What the reader drains while a load takes, times a slack that grows when that was not enough.
Bytes ReadAhead::target(Duration latency) const {
  double rate = draining_ > 0 ? drained_ / draining_ : 0;
  return std::max<Bytes>(2 * settings_.extent, static_cast<Bytes>(rate * to_seconds(latency) * slack_));
}

// A read waited, so the window was too small.
void ReadAhead::open_up(Bytes target) {
  slack_ = std::min(2 * slack_, kSlackMax);
  window_ = std::max(2 * window_, std::min(target, kEarned * bytes_of(run_.length)));
  consumed_ = 0;
}

void ReadAhead::resize(const SeenRead& read, Duration latency, Bytes limit) {
  auto enough = target(latency);
  consumed_ += read.bytes;
  if (window_ == 0) {
    window_ = std::max<Bytes>(2 * read.bytes, settings_.extent);
  } else if (read.wait >= kLateWait) {
    if (read.from != missed_at_) open_up(enough);
  } else if (consumed_ >= settings_.extent) {
    window_ = window_ < enough ? std::min(2 * window_, enough) : window_ - (window_ - enough) / 8;
    slack_ = std::max(kSlackMin, 0.98 * slack_);
    consumed_ = 0;
  }
  keep_within(limit);
}

void ReadAhead::keep_within(Bytes limit) {
  limit = std::min(limit, settings_.window_max);
  if (jumps_ >= kJumpy && !stride()) limit = std::min(limit, bytes_of(run_.length));
  window_ = std::clamp<Bytes>(window_, 0, std::max<Bytes>(limit, 0));
}

std::vector<Ahead> ReadAhead::on_miss(Position at, Instant now, Duration latency, Bytes limit, Position end) {
  bool goes_on = reads_ > 0 && at == next_;
  if (!goes_on || at == missed_at_ || stride() || likely_over()) return {};
  missed_at_ = at;
  if (window_ == 0) {
    window_ = std::max<Bytes>(2 * bytes_of(next_ - last_from_), settings_.extent);
  } else {
    open_up(target(latency));
  }
  keep_within(limit);
  return sequential(now, latency, end);
}

// The distance that most of the newest jumps had in common, the present one among them (Leap's majority vote).
std::optional<Position> ReadAhead::stride() const {
  auto known = std::min(runs_seen_, kRunsKept);
  if (known < 3) return std::nullopt;
  auto start = [this](std::size_t back) {  // of the run `back` jumps ago
    return back == 0 ? run_.start : runs_[(runs_seen_ - back) % kRunsKept].start;
  };
  bool has_settled = run_.length > 2 * runs_[(runs_seen_ - 1) % kRunsKept].length;
  if (has_settled) return std::nullopt;
  Position newest = start(0) - start(1);
  std::size_t alike = 0;
  for (std::size_t back = 0; back < known; ++back) alike += start(back) - start(back + 1) == newest;
  bool certain = newest != 0 && alike >= 3 && 3 * alike > 2 * known;
  return certain ? std::optional(newest) : std::nullopt;
}

// Whether most of the newest runs that came as far as this one went no further. A run longer than all of them is judged
// by none, and proves itself by going on.
bool ReadAhead::likely_over() const {
  if (runs_seen_ < 4) return false;
  auto known = std::min(runs_seen_, kRunsKept);
  std::size_t reached = 0, passed = 0;
  for (std::size_t i = 0; i < known; ++i) {
    reached += runs_[i].length >= run_.length ? 1 : 0;
    passed += runs_[i].length > run_.length ? 1 : 0;
  }
  return reached == 0 ? reads_ < kProven : 2 * passed < reached;
}

// Jobs that read the same amount each time stop there.
std::optional<Position> ReadAhead::usual_length() const {
  if (runs_seen_ < 4) return std::nullopt;
  auto known = std::min(runs_seen_, kRunsKept);
  auto by_length = [](const Run& a, const Run& b) { return a.length < b.length; };
  auto [shortest, longest] =
      std::minmax_element(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(known), by_length);
  bool alike = longest->length - shortest->length <= longest->length / 8;
  return alike && run_.length <= longest->length ? std::optional(longest->length) : std::nullopt;
}

std::vector<Ahead> ReadAhead::sequential(Instant now, Duration latency, Position end) {
  if (window_ == 0) return {};
  if (auto usual = usual_length()) end = std::min(end, run_.start + *usual);
  auto goal = std::min(end, next_ + positions_of(window_));
  auto from = std::max(named_until_, next_);
  if (goal <= from) return {};
  // Small steps are saved up to whole extents, as long as the reader is not near the end of what was named.
  bool worth_a_request = bytes_of(goal - from) >= settings_.extent || goal == end;
  bool running_dry = 2 * bytes_of(from - next_) <= window_;
  if (!worth_a_request && !running_dry) return {};
  if (window_ >= settings_.extent) goal = std::min(end, std::max(goal, from + positions_of(settings_.extent)));
  double rate = draining_ > 0 ? drained_ / draining_ : 0;
  auto until_needed =
      rate > 0 ? Duration(static_cast<std::int64_t>(static_cast<double>(bytes_of(from - next_)) / rate * 1e9))
               : latency;
  named_until_ = goal;
  return {{from, goal, bytes_of(goal - from), now + std::min<Duration>(until_needed, 60s), 0.9, false, goal < end}};
}

std::vector<Ahead> ReadAhead::strided(Position stride, Instant now, Duration latency, Position end) {
  const auto& before = runs_[(runs_seen_ - 1) % kRunsKept];
  auto length = std::max<Position>(before.length, run_.length);
  auto depth = static_cast<Position>(window_ / std::max<Bytes>(bytes_of(length), 1));
  depth = std::clamp<Position>(depth, window_ > 0 ? 1 : 0, 256);
  std::vector<Ahead> out;
  for (auto i = strides_named_ + 1; i <= depth; ++i) {
    auto from = run_.start + i * stride;
    if (from < 0 || from >= end) break;
    auto to = std::min(end, from + length);
    out.push_back({from, to, bytes_of(to - from), now + i * latency, 0.8, true, false});
    strides_named_ = i;
  }
  return out;
}

void ReadAhead::on_waste() {
  window_ /= 2;
  slack_ = kSlackMin;
}

// --- all readers of a core -------------------------------------------------------------------------------------------

ReadAheads::ReadAheads(const ReadAheadSettings& settings, Bytes share, std::size_t streams_max)
    : settings_(settings), share_(share), streams_max_(streams_max) {
  CHECK(streams_max > 0);
}

std::vector<Ahead> ReadAheads::on_read(Stream stream, const SeenRead& read, Instant now, Duration latency,
                                       Position end) {
  retire_idle(now);
  auto [found, is_new] = streams_.try_emplace(stream);
  if (is_new) {
    active_.push_front({stream, ReadAhead(settings_), now, true});
    found->second = active_.begin();
    if (streams_.size() > streams_max_) close((idle_.empty() ? active_ : idle_).back().stream);
  } else {
    touch(found->second, now);
  }
  auto& reader = active_.front().reader;
  auto before = reader.window();
  auto out = reader.on_read(read, now, latency, limit_of(reader), end);
  windows_ += reader.window() - before;
  return out;
}

std::vector<Ahead> ReadAheads::on_miss(Stream stream, Position at, Instant now, Duration latency, Position end) {
  auto found = streams_.find(stream);
  if (found == streams_.end()) return {};
  retire_idle(now);
  touch(found->second, now);
  auto& reader = active_.front().reader;
  auto before = reader.window();
  auto out = reader.on_miss(at, now, latency, limit_of(reader), end);
  windows_ += reader.window() - before;
  return out;
}

// Makes `entry` the most recent of the active ones.
void ReadAheads::touch(Entries::iterator entry, Instant now) {
  if (!entry->active) windows_ += entry->reader.window();
  active_.splice(active_.begin(), entry->active ? active_ : idle_, entry);
  entry->active = true;
  entry->last = now;
}

Bytes ReadAheads::limit_of(const ReadAhead& reader) const {
  auto others = windows_ - reader.window();
  return std::max(share_ / static_cast<Bytes>(active_.size()), share_ - others);
}

void ReadAheads::retire_idle(Instant now) {
  while (!active_.empty() && now - active_.back().last > kIdleAfter) {
    windows_ -= active_.back().reader.window();
    active_.back().active = false;
    idle_.splice(idle_.begin(), active_, std::prev(active_.end()));
  }
}

void ReadAheads::on_waste(Stream stream) {
  auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  auto& entry = *found->second;
  auto before = entry.reader.window();
  entry.reader.on_waste();
  if (entry.active) windows_ -= before - entry.reader.window();
}

void ReadAheads::close(Stream stream) {
  auto found = streams_.find(stream);
  if (found == streams_.end()) return;
  auto entry = found->second;
  if (entry->active) windows_ -= entry->reader.window();
  (entry->active ? active_ : idle_).erase(entry);
  streams_.erase(found);
}

void ReadAheads::configure(const ReadAheadSettings& settings, Bytes share) {
  settings_ = settings;  // readers known already keep theirs; the limit holds for them too
  share_ = share;
}

Bytes ReadAheads::window(Stream stream) const {
  auto found = streams_.find(stream);
  return found == streams_.end() ? 0 : found->second->reader.window();
}

}  // namespace forelog::prefetch
