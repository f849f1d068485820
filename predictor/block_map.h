// block_map.h: offsets ⇄ the predictor's own blocks.
//
// The broker's blocks are renumbered by every merge; offsets stay. So a block here is a bucket of 2^n offsets of a
// partition, n chosen once, when the partition's first read shows how many records fill a block of the broker: at most
// that many, so that neighbours here are neighbours there. Pure; bounded by `partitions_max`.
#pragma once

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/prefetch/hint.h"
#include "predictor/generators/generator.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::predictor {

class BlockMap {
 public:
  explicit BlockMap(std::size_t partitions_max = 200'000) : partitions_max_(partitions_max) {}

  // Learns from a read of offsets `[first, last]`, `bytes` long, how large buckets are. False: too many partitions.
  bool learn(const PartitionKey& partition, Offset first, Offset last, Bytes bytes);
  // None while the partition has not been read.
  std::optional<Place> place_of(const PartitionKey& partition, Offset offset) const;
  // The offsets of `blocks` buckets from `place` on. None for a stream that is no partition (any more).
  struct Span {
    PartitionKey partition;
    prefetch::OffsetRange offsets;
  };
  std::optional<Span> span_of(const Place& place, std::int64_t blocks = 1) const;

  // Where plans about the partition go: the hint endpoint of the broker that read it last.
  void set_endpoint(const PartitionKey& partition, const std::string& endpoint);
  const std::string& endpoint_of(StreamId stream) const;

  std::size_t size() const { return partitions_.size(); }
  void save(ByteWriter& out) const;
  bool load(ByteReader& in);

 private:
  struct Partition {
    PartitionKey key;
    std::uint8_t shift = 0;
    std::uint32_t endpoint = 0;  // index of `endpoints_`
  };
  std::size_t partitions_max_;
  std::vector<Partition> partitions_;  // by stream
  std::unordered_map<PartitionKey, StreamId> streams_;
  std::vector<std::string> endpoints_{""};
};

// Texts ⇄ small numbers, given in order of first sight.
class Names {
 public:
  explicit Names(std::size_t names_max) : names_max_(names_max) {}
  // 0 when there are too many names; that number stands for "somebody".
  std::uint32_t id_of(const std::string& name);
  const std::string& name_of(std::uint32_t id) const { return names_.at(id < names_.size() ? id : 0); }
  void save(ByteWriter& out) const;
  bool load(ByteReader& in);

 private:
  std::size_t names_max_;
  std::vector<std::string> names_{""};
  std::unordered_map<std::string, std::uint32_t> ids_;
};

}  // namespace forelog::predictor
