// trace.h: a recorded load: CSV, optionally zstd-compressed, `timestamp_ms,client,object_or_block,size`.
//
// `p<stream>:<block>` is an address, block + 1 being what follows in that stream; `k<id>` is an opaque key, whose
// neighbours mean nothing, so that it is hashed to a stream of its own with one block.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "predictor/generators/generator.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::predictor::replay {

struct Request {
  Instant at;
  std::uint32_t client = 0;
  Place place;
  bool addressed = true;
};

struct Trace {
  std::vector<Request> requests;  // by time
  std::size_t distinct_blocks = 0;

  // Reads a file; Malformed names the line. NotFound, Io, CorruptFile for what cannot be read or decompressed.
  static Result<Trace> read(const std::string& path);
  static Result<Trace> parse(std::string_view csv);

  // The same load with streams, clients and opaque keys numbered by chance: nothing that is learnt may depend on it.
  Trace renumbered(std::uint64_t seed) const;

  // The reads in the second that only one in a hundred exceeds.
  double reads_per_second_p99() const;
};

}  // namespace forelog::predictor::replay
