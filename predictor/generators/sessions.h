// sessions.h: the same job again (part of generator b). One signature's reads from first to last are a session, in
// parts: each a range of one partition, read in order. When the job starts once more, at the place where it started
// before or as far on as it moved before, or its group forms, the heads of the partitions that it read last time are
// proposed, each some seconds before its turn. Each of its readers is followed to where that range ended; where the job
// then jumped to another range of the partition, a chain warms its head while the reader is still in the range before.
//
// A session ends when the job is quiet for `idle`, or when it reads one of its first places again. Pure; bounded by
// `jobs_max` × `parts_max`.
#pragma once

#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

namespace forelog::predictor {

struct SessionsSettings {
  std::size_t jobs_max = 2'000;
  std::size_t parts_max = 512;  // partitions of one session
  Duration idle = 60s;
  std::int32_t head_blocks = 4;     // of each partition, proposed at the start, at least,
  std::int32_t heads_blocks = 256;  // and as many of all together as long as none has more than
  std::int32_t head_blocks_max = 32;
  std::int32_t ahead_blocks = 16;  // how far to follow
  Duration lead = 300ms;           // before its reader gets there the head of the next range is fetched
  std::int32_t range_min = 8;      // blocks, of a range that a jump ends
  std::int32_t blocks_min = 8;     // a shorter session is no job
  Duration early = 5s;             // how long before its turn a head is proposed
};

class Sessions final : public Generator {
 public:
  explicit Sessions(SessionsSettings settings) : settings_(settings), jobs_(settings.jobs_max) {}

  GeneratorId id() const override { return GeneratorId::sessions; }
  void observe(const ReadEvent& event, std::vector<Candidate>& out) override;
  void announce(const Announcement& announcement, std::vector<Candidate>& out) override;
  double prior(int situation) const override;
  void save(ByteWriter& out) const override;
  bool load(ByteReader& in) override;
  std::size_t memory_bytes() const override;

  // Whether the job is under way, and read the same ranges of the partition from end to end twice before: then what is
  // proposed here is all that it will want of it.
  bool knows_the_way(JobId job, StreamId stream);

 private:
  struct Part {
    StreamId stream = 0;
    std::uint32_t turn = 0;            // how many ranges of the partition came before it
    std::int64_t first = 0, last = 0;  // blocks; in order of reading, so `last` is the furthest
    std::int64_t blocks = 0;           // read, in all
    Duration after{}, until{};         // from the session's start to the first read, and to the last
    bool steady = false;               // it ended where it did the session before
    std::int64_t moved = 0;            // `first`, against the session before
    std::int64_t moved_last = 0;
    bool is_dense() const { return blocks * 2 > last - first; }
  };
  struct Session {
    std::vector<Part> parts;  // in order of first read
    Instant started;
    Duration announced_before{};  // how long before `started` its group formed
    std::int64_t blocks = 0;
    const Part* find(StreamId stream, std::uint32_t turn = 0) const;
    Part* around(const Place& place);  // the newest range that the place is in or continues
    Part* newest(StreamId stream);
  };
  struct Job {
    Session now, before;
    Instant last;
    std::optional<Instant> formed;  // when its group did, since the last session
    std::uint32_t repeats = 0;      // sessions in a row that began as foreseen
    // The present session goes the way of the one before: parts of it from `next` on are still to be proposed. The
    // first read came at `begun`, when the old session was `into` its course.
    bool matched = false, moved = false;
    std::size_t next = 0;
    Instant begun;
    Duration into{};
  };

  void close(Job& job);
  bool begins(Job& job, const Place& start, Instant at) const;
  void start(Job& job, Instant at, Duration into, bool moved) const;
  void propose(Job& job, JobId id, Instant now, std::vector<Candidate>& out) const;
  std::optional<Place> trigger_of(const Job& job, const Part& part) const;
  static Duration time_for(const Part& part, std::int64_t blocks);
  static std::int64_t expected_first(const Part& part) { return part.first + part.moved; }
  static std::int64_t first_of(const Job& job, const Part& part) {
    return job.moved ? expected_first(part) : part.first;
  }
  // Clients read ahead on their own, so that a range ends a little sooner or later each time: `last_of` is where it may
  // go on to, `surely_until` where it went each time.
  static std::int64_t last_of(const Job& job, const Part& part) {
    if (job.moved) return part.last + part.moved_last;
    return part.steady ? std::max(part.last, part.last - part.moved_last) : part.last;
  }
  static std::int64_t surely_until(const Job& job, const Part& part) {
    if (job.moved) return part.last + part.moved_last;
    return part.steady ? std::min(part.last, part.last - part.moved_last) : part.last;
  }

  SessionsSettings settings_;
  BoundedMap<JobId, Job> jobs_;
};

}  // namespace forelog::predictor
