// generator.h: one idea of what will be read next. Many, cheap, bounded; the gate decides which of their ideas are
// worth an archive read.
//
// Pure: no I/O, no clock; every event carries its time. One thread. A generator must not draw anything from the numbers
// of streams, jobs and readers but equality: they are given in order of first sight, and a model that looks at them
// would know the future in a replay (a test renumbers them).
#pragma once

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/time.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace forelog::predictor {

using StreamId = std::uint32_t;  // an interned partition; in a trace also an opaque object
using ReaderId = std::uint32_t;  // an interned stream of reads: one connection, or one member of a group
using JobId = std::uint32_t;     // an interned signature: principal, stem of client.id, software; the same tomorrow

// A block as the predictor counts it: a fixed-size bucket of a partition's offsets (see BlockMap), so that a merge,
// which renumbers the broker's blocks, leaves it as it is.
struct Place {
  StreamId stream = 0;
  std::int64_t block = 0;
  friend constexpr auto operator<=>(const Place&, const Place&) = default;
};

// A 64-bit mix of a place and a salt; never used for order.
constexpr std::uint64_t mix(std::uint64_t x) {
  x ^= x >> 30, x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27, x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}
constexpr std::uint64_t hash_of(const Place& p, std::uint64_t salt = 0) {
  return mix(mix(static_cast<std::uint64_t>(p.block) + 0x9e3779b97f4a7c15ULL * (p.stream + 1ULL)) + salt);
}

enum class Answer : std::uint8_t {
  hit,      // in memory anyway
  planned,  // in memory because somebody fetched it ahead
  late,     // on its way because somebody fetched it ahead, and waited for
  miss,
};

struct ReadEvent {
  Instant at{};
  ReaderId reader = 0;
  JobId job = 0;
  Place place{};            // the first block read
  std::int32_t blocks = 1;  // read in a run
  bool addressed = true;    // block + 1 is really what follows; false for opaque objects
  Answer answer = Answer::miss;
};

// Somebody is about to read: a group forms, its committed offset was fetched, or it was set back.
struct Announcement {
  Instant at{};
  JobId job = 0;
  std::optional<Place> place{};  // none: the job begins, wherever it begins
};

enum class GeneratorId : std::uint8_t { strided_runs, temporal_streams, sessions };
inline constexpr int kGenerators = 3;
std::string_view name_of(GeneratorId generator);

// What the gate may know of a candidate: each generator numbers its own situations below this. The gate learns how
// often a candidate of that situation came true.
inline constexpr int kSituations = 512;

struct Candidate {
  GeneratorId generator = GeneratorId::strided_runs;
  std::uint16_t situation = 0;
  JobId job = 0;
  ReaderId reader = 0;
  Place place{};
  std::int32_t blocks = 1;  // in steps of `step`
  std::int64_t step = 1;
  Instant needed_by{};

  // Chain: load when a reader of `job` touches `trigger`; `needed_after` that touch.
  std::optional<Place> trigger{};
  Duration needed_after{};
  // Follow: stay `blocks` ahead of the reader of `job` until this block, which is the last.
  std::optional<std::int64_t> until{};
};

class Generator {
 public:
  virtual ~Generator() = default;
  virtual GeneratorId id() const = 0;

  // Learns from `event` and appends what it makes expect.
  virtual void observe(const ReadEvent& event, std::vector<Candidate>& out) = 0;
  virtual void announce(const Announcement&, std::vector<Candidate>&) {}

  // How often a candidate of `situation` comes true, before anything was seen.
  virtual double prior(int situation) const = 0;

  // The tables, for the snapshot. `load` refuses what it does not recognise and is then empty, as at first start.
  virtual void save(ByteWriter& out) const = 0;
  virtual bool load(ByteReader& in) = 0;

  virtual std::size_t memory_bytes() const = 0;  // what the tables hold now
};

}  // namespace forelog::predictor

template <>
struct std::hash<forelog::predictor::Place> {
  std::size_t operator()(const forelog::predictor::Place& p) const { return forelog::predictor::hash_of(p); }
};
