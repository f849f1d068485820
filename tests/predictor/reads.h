// reads.h: reads in few words, for tests of what is pure.
#pragma once

#include "predictor/generators/generator.h"

#include <algorithm>
#include <string>
#include <vector>

namespace forelog::predictor::test {

// A reader that reads places one after another, `gap` apart.
class Reading {
 public:
  Reading(Generator& generator, ReaderId reader, JobId job = 1) : generator_(generator), reader_(reader), job_(job) {}

  // Reads, and yields what was proposed then.
  std::vector<Candidate> read(Place place, std::int32_t blocks = 1, Answer answer = Answer::miss) {
    std::vector<Candidate> out;
    generator_.observe({.at = at, .reader = reader_, .job = job_, .place = place, .blocks = blocks, .answer = answer},
                       out);
    at += gap;
    return out;
  }
  std::vector<Candidate> read_all(const std::vector<Place>& places) {
    std::vector<Candidate> last;
    for (auto place : places) last = read(place);
    return last;
  }

  Instant at{100s};
  Duration gap = 20ms;

 private:
  Generator& generator_;
  ReaderId reader_;
  JobId job_;
};

// Blocks of the candidates to be fetched at once, in one stream.
inline std::vector<std::int64_t> blocks_of(const std::vector<Candidate>& candidates, StreamId stream) {
  std::vector<std::int64_t> out;
  for (const auto& c : candidates)
    if (c.place.stream == stream && !c.trigger && !c.until) out.push_back(c.place.block);
  return out;
}
inline std::vector<Place> run(StreamId stream, std::int64_t from, std::int64_t count, std::int64_t step = 1) {
  std::vector<Place> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back({stream, from + i * step});
  return out;
}

}  // namespace forelog::predictor::test
