// sessions.h: the same job again (part of generator b). One signature's reads from first to last are a session; when
// the job starts once more, at the place where it started before or as far on as it moved before, the heads of the
// partitions that it read last time are proposed, each some seconds before its turn, and each of its readers is
// followed to where it stopped.
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
  std::int32_t head_blocks = 4;    // of each partition, proposed at the start
  std::int32_t ahead_blocks = 32;  // how far to follow
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

 private:
  struct Part {
    StreamId stream = 0;
    std::int64_t first = 0, last = 0;  // blocks; in order of reading, so `last` is the furthest
    std::int64_t blocks = 0;           // read, in all
    Duration after{};                  // from the session's start to the first read
    std::int64_t moved = 0;            // `first`, against the session before
    std::int64_t moved_last = 0;
  };
  struct Session {
    std::vector<Part> parts;  // in order of first read
    Instant started;
    std::int64_t blocks = 0;
    Part* find(StreamId stream);
    const Part* find(StreamId stream) const;
  };
  struct Job {
    Session now, before;
    Instant last;
    std::uint32_t repeats = 0;  // sessions in a row that began as foreseen
    // The present session goes the way of the one before: parts of it from `next` on are still to be proposed. The
    // first read came at `begun`, when the old session was `into` its course.
    bool matched = false, moved = false;
    std::size_t next = 0;
    Instant begun;
    Duration into{};
  };

  void close(Job& job);
  bool begins(Job& job, const Place& start, Instant at) const;
  void propose(Job& job, JobId id, Instant now, std::vector<Candidate>& out) const;
  static std::int64_t expected_first(const Part& part) { return part.first + part.moved; }

  SessionsSettings settings_;
  BoundedMap<JobId, Job> jobs_;
};

}  // namespace forelog::predictor
