// read_ahead.h: how far in front of each reader to load, learned from that reader alone. The floor that plans build on.
//
// Pure: no I/O, no clock; the caller passes `now`. Works in positions, which are offsets in the broker and block
// numbers in the offline simulator: whatever grows by one from one thing read to the next.
//
// A reader is sequential from its second read that begins where the one before ended; a reader that jumps by the same
// distance again and again is strided; any other jump forgets the window. So random readers are never read ahead for,
// and a reader that jumps often risks no more than what it has read since the last jump.
//
// The window grows when a read had to wait, and doubles with each extent consumed, until it covers what the reader
// drains while a load takes. A wait costs a round trip to the archive, so it opens the window to all of that at once,
// as far as the reader has earned it: to four times what it has read in order. The window halves when what was loaded
// went unread. It never exceeds its limit, nor passes `end`.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/limits.h"
#include "broker/base/time.h"

#include <array>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

namespace forelog::prefetch {

using Position = std::int64_t;

struct ReadAheadSettings {
  Bytes extent = kExtentSizeMax;  // worth one request
  Bytes window_max = 64_MiB;
};

// One read of positions `[from, to)`, not empty.
struct SeenRead {
  Position from = 0;
  Position to = 0;
  Bytes bytes = 0;
  Duration wait{};  // for bytes to be loaded
};

// Load positions `[from, to)`, about `bytes`.
struct Ahead {
  Position from = 0;
  Position to = 0;
  Bytes bytes = 0;
  Instant needed_by;
  double score = 0;
  bool strided = false;
  bool goes_on = false;  // the reader is expected beyond `to`: loading a little more is not for nothing
  friend bool operator==(const Ahead&, const Ahead&) = default;
};

// One reader.
class ReadAhead {
 public:
  explicit ReadAhead(const ReadAheadSettings& settings) : settings_(settings) {}

  // What to load now, beyond what was named before. `latency`: from asking for an extent to having it (a high
  // percentile). `limit`: most bytes in front of this reader. `end`: first position that cannot be loaded.
  std::vector<Ahead> on_read(const SeenRead& read, Instant now, Duration latency, Bytes limit, Position end);

  // A read at `at` found nothing and waits. When it goes on where the reader stood, what comes behind it is named now
  // rather than with the answer, one load later.
  std::vector<Ahead> on_miss(Position at, Instant now, Duration latency, Bytes limit, Position end);

  // What was loaded for this reader left the cache unread.
  void on_waste();

  Bytes window() const { return window_; }

 private:
  struct Run {
    Position start = 0;
    Position length = 0;
  };
  static constexpr std::size_t kRunsKept = 8;

  bool continues(const SeenRead& read) const;
  void begin_run(const SeenRead& read);
  void measure(const SeenRead& read, Instant now);
  void resize(const SeenRead& read, Duration latency, Bytes limit);
  void open_up(Bytes target);
  Bytes target(Duration latency) const;
  void keep_within(Bytes limit);
  std::optional<Position> stride() const;
  bool likely_over() const;
  std::optional<Position> usual_length() const;
  std::vector<Ahead> sequential(Instant now, Duration latency, Position end);
  std::vector<Ahead> strided(Position stride, Instant now, Duration latency, Position end);
  Bytes bytes_of(Position positions) const;
  Position positions_of(Bytes bytes) const;

  ReadAheadSettings settings_;
  Bytes window_ = 0;
  double slack_ = 2;    // times what is drained during a load; grows when late
  Bytes consumed_ = 0;  // since the window was last resized
  double bytes_per_position_ = 0;
  double drained_ = 0, draining_ = 0;  // decaying sums of bytes, and of seconds without waits
  Instant last_read_{};
  Run run_;
  Position last_from_ = 0, next_ = 0;
  std::int64_t reads_ = 0;  // of this run
  std::int64_t jumps_ = 0;
  Position missed_at_ = -1;     // the miss for which the window has grown already
  Position named_until_ = 0;    // sequential: loaded or on its way up to here
  Position strides_named_ = 0;  // strided: runs named beyond the present one
  std::array<Run, kRunsKept> runs_{};
  std::size_t runs_seen_ = 0;
};

// All readers of a core, bounded, sharing one allowance: each may have an equal part, and what others do not use.
class ReadAheads {
 public:
  using Stream = std::uint64_t;
  ReadAheads(const ReadAheadSettings& settings, Bytes share, std::size_t streams_max);

  std::vector<Ahead> on_read(Stream stream, const SeenRead& read, Instant now, Duration latency, Position end);
  std::vector<Ahead> on_miss(Stream stream, Position at, Instant now, Duration latency, Position end);
  void on_waste(Stream stream);
  void close(Stream stream);
  void configure(const ReadAheadSettings& settings, Bytes share);

  std::size_t size() const { return streams_.size(); }
  Bytes window(Stream stream) const;

 private:
  struct Entry {
    Stream stream;
    ReadAhead reader;
    Instant last;
    bool active = true;
  };
  using Entries = std::list<Entry>;
  void retire_idle(Instant now);
  void touch(Entries::iterator entry, Instant now);
  Bytes limit_of(const ReadAhead& reader) const;

  ReadAheadSettings settings_;
  Bytes share_;
  std::size_t streams_max_;
  Entries active_, idle_;  // most recently used first
  Bytes windows_ = 0;      // of the active ones
  std::unordered_map<Stream, Entries::iterator> streams_;
};

}  // namespace forelog::prefetch
