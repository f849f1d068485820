// key_map.h: which offset is the last of each key, for compaction: a flat table of bounded size.
//
// Pure. Keys are kept as 128 bits of SipHash under a secret drawn for each pass: two keys fall together once in 2^128
// pairs, and nobody who does not know the secret can choose keys that do; a record is lost by neither.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace forelog::log {

using KeyHash = std::array<std::uint64_t, 2>;

// SipHash-2-4 with 128 bits of output (Aumasson, Bernstein).
KeyHash sip_hash(const std::array<std::uint64_t, 2>& secret, ByteView bytes);

class KeyMap {
 public:
  // Room for `keys` of them, but no more than fit into `memory`; at least for one.
  KeyMap(std::int64_t keys, Bytes memory, std::array<std::uint64_t, 2> secret);

  // Notes a record; the largest offset of a key counts. False when the table is full and the key is not in it.
  bool put(ByteView key, Offset offset);
  std::optional<Offset> find(ByteView key) const;

  std::size_t size() const { return size_; }
  Bytes memory() const { return static_cast<Bytes>(slots_.size() * sizeof(Slot)); }

 private:
  struct Slot {
    KeyHash hash{};
    Offset offset = kNoOffset;  // kNoOffset: free
  };
  std::size_t place_of(const KeyHash& hash) const;  // of the key, or of the free slot where it belongs
  std::array<std::uint64_t, 2> secret_;
  std::vector<Slot> slots_;  // a power of two of them
  std::size_t size_ = 0;
  std::size_t size_max_ = 0;
};

}  // namespace forelog::log
