// footer.h: what a sealed shard says of itself, after its batches, in the same file and object.
//
// A pure function of the shard's batches and the previous footer (through the producer snapshot), so replicas write the
// same bytes. Layout: FORMAT.md. The trailer has a fixed size and ends the file, so the footer is found from there.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/result.h"
#include "broker/log/batch.h"
#include "broker/log/chain.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace forelog::log {

inline constexpr Bytes kIndexInterval = 32_KiB;  // of data between two entries of the index, at least
inline constexpr std::size_t kFooterTrailerSize = 24;

struct IndexEntry {
  std::uint32_t offset_delta = 0;   // base offset of a batch, relative to the shard's
  std::uint32_t position = 0;       // where this batch begins
  std::int64_t max_timestamp = -1;  // largest of the shard's batches up to the next entry
  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
};

struct AbortedTransaction {
  ProducerId producer;
  Offset first = kNoOffset;
  Offset last = kNoOffset;  // of the abort marker
  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

struct Footer {
  ShardId shard;
  Offset end = kNoOffset;
  Bytes size = 0;  // of the batches
  std::int64_t first_timestamp = -1;
  std::int64_t max_timestamp = -1;
  std::vector<EpochStart> epochs;
  std::vector<IndexEntry> index;
  std::vector<std::uint32_t> block_crcs;  // CRC-32C of each kBlockSize bytes of data; the last may cover fewer
  std::vector<AbortedTransaction> aborted;
  Buffer producer_snapshot;  // opaque here; state of the producers at `end`

  Buffer encode() const;
  // `bytes` is a footer with its trailer, and nothing else. Fails CorruptFile; never believes a count.
  static Result<Footer> decode(ByteView bytes);

  // Position of a batch that begins at or before `offset` (below the shard's base: 0).
  Bytes position_for(Offset offset) const;
  // The index entry, or the position, from which on the first batch with a timestamp of at least `timestamp` is found;
  // nothing if there is none.
  std::optional<IndexEntry> entry_for_time(std::int64_t timestamp) const;
  std::optional<Bytes> position_for_time(std::int64_t timestamp) const;
  std::uint32_t block_crc(std::uint32_t block) const;  // CHECKs that the shard has this block
  std::uint32_t block_count() const { return static_cast<std::uint32_t>(block_crcs.size()); }

  friend bool operator==(const Footer&, const Footer&) = default;
};

// From the last kFooterTrailerSize bytes of a file or object: how long the footer is, trailer included, and how many
// bytes of batches lie before it. Fails CorruptFile.
struct FooterPlace {
  Bytes footer_size = 0;
  Bytes data_size = 0;
};
Result<FooterPlace> find_footer(ByteView trailer);

// Whether `block` is what the footer says; `index` counts blocks of the shard.
Result<void> verify_block(const Footer& footer, std::uint32_t index, ByteView block);
// The same by what is known of the block: its size, and the CRC-32C of its bytes.
Result<void> verify_block(const Footer& footer, std::uint32_t index, Bytes size, std::uint32_t crc);

// Grows a footer while its shard grows. Each byte is read once, for the block checksums.
class FooterBuilder {
 public:
  explicit FooterBuilder(ShardId shard);
  // Goes on from a footer made by `so_far`, as a checkpoint keeps it.
  explicit FooterBuilder(Footer so_far) : footer_(std::move(so_far)) {}

  // `batch` follows what was added before, with its final offset and epoch.
  void add(BatchView batch);
  void add_aborted(AbortedTransaction aborted) { footer_.aborted.push_back(aborted); }

  Bytes size() const { return footer_.size; }
  const Footer& so_far() const { return footer_; }  // valid as a footer of the bytes so far
  Footer finish(Buffer producer_snapshot) const;

 private:
  Footer footer_;
};

}  // namespace forelog::log
