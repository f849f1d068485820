// temporal_streams.h: what followed last time will follow again (generator b).
//
// A ring holds the last reads of everybody; each read points to the next one of the same reader and to the time before
// that the same place was read. Three indexes say where a place stood last: after this predecessor, for this job, for
// anyone. When a place comes back, the reader is laid along the old stream, and what followed there is proposed as far
// ahead as the lead time asks. How sure that is, is left to the gate: the situation of a candidate is how the stream
// was found, how long the reader has kept to it, how often the past agreed with itself, how far ahead, and how long the
// pauses on the way were (a long one is often the end of a chain).
//
// Chains that came true more than once are also proposed with their first place as a trigger, so that the broker can
// run them without a round trip. Pure; memory is bounded by `reads_max`: about 90 bytes a read remembered.
#pragma once

#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

namespace forelog::predictor {

struct TemporalStreamsSettings {
  std::size_t reads_max = 1'000'000;  // remembered; rounded up to a power of two
  std::size_t readers_max = 20'000;
  Duration horizon = 400ms;       // how far ahead of the reader
  std::int32_t rollout_max = 16;  // candidates an event
  bool chains = true;             // propose triggers too
};

class TemporalStreams final : public Generator {
 public:
  explicit TemporalStreams(TemporalStreamsSettings settings);

  GeneratorId id() const override { return GeneratorId::temporal_streams; }
  void observe(const ReadEvent& event, std::vector<Candidate>& out) override;
  double prior(int situation) const override;
  void save(ByteWriter& out) const override;
  bool load(ByteReader& in) override;
  std::size_t memory_bytes() const override;

 private:
  using Position = std::uint64_t;  // in the ring, counted from 1 for ever; 0: none
  struct Entry {
    Place place;
    Instant at;
    Position next = 0;    // of the same reader
    Position before = 0;  // the same place, the time before
    JobId job = 0;
  };
  enum Source : std::uint8_t { pair, same_job, anyone };
  struct Stream {
    Position at = 0;
    std::uint16_t matched = 0;
    std::uint8_t missed = 0;
    std::uint8_t agreed = 0;  // earlier occurrences that continued like the one chosen
    Source source = anyone;
  };
  struct Reader {
    Position last = 0;
    Place last_place;
    Stream stream, aside;
  };

  Entry* entry(Position position);
  Position oldest() const { return end_ > ring_.size() ? end_ - ring_.size() : 1; }
  void observe_block(const ReadEvent& event, Place place, bool last_of_run, std::vector<Candidate>& out);
  bool follow(Stream& stream, const Place& place);
  Stream find(const Place& place, const Reader& reader, JobId job);
  Stream vote(Position newest, Source source);
  void roll_out(const Stream& stream, const ReadEvent& event, std::vector<Candidate>& out);
  void propose_chain(const Stream& stream, const ReadEvent& event, const Place& place, std::vector<Candidate>& out);
  Position append(const ReadEvent& event, const Place& place);

  TemporalStreamsSettings settings_;
  std::vector<Entry> ring_;
  Position end_ = 1;
  PositionIndex by_pair_, by_job_, by_place_;
  BoundedMap<ReaderId, Reader> readers_;
};

}  // namespace forelog::predictor
