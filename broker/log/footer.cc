#include "broker/log/footer.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/versions.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr std::uint32_t kMagic = 0x464c4654;  // "FLFT"
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kTrailerSummed = 16;  // of the trailer, before its checksum

std::unexpected<Error> corrupt(std::string what) { return fail(ErrorCode::kCorruptFile, "footer: " + std::move(what)); }

std::uint64_t blocks_of(Bytes size) { return static_cast<std::uint64_t>((size + kBlockSize - 1) / kBlockSize); }

void encode_body(const Footer& footer, ByteWriter& out) {
  out.bytes(as_bytes({reinterpret_cast<const char*>(footer.shard.partition.topic.bytes.data()), 16}));  // NOLINT
  out.i32(footer.shard.partition.partition.value());
  out.i64(footer.shard.base.value());
  out.i32(footer.shard.generation.value());
  out.i64(footer.end.value());
  out.i64(footer.first_timestamp);
  out.i64(footer.max_timestamp);
  out.uvarlong(footer.epochs.size());
  for (const auto& epoch : footer.epochs) {
    out.i32(epoch.epoch.value());
    out.i64(epoch.start.value());
  }
  out.uvarlong(footer.index.size());
  IndexEntry last;
  for (const auto& entry : footer.index) {
    out.uvarint(entry.offset_delta - last.offset_delta);
    out.uvarint(entry.position - last.position);
    out.varlong(static_cast<std::int64_t>(static_cast<std::uint64_t>(entry.max_timestamp) -
                                          static_cast<std::uint64_t>(last.max_timestamp)));
    last = entry;
  }
  out.uvarlong(footer.block_crcs.size());
  for (auto crc : footer.block_crcs) out.u32(crc);
  out.uvarlong(footer.aborted.size());
  for (const auto& aborted : footer.aborted) {
    out.i64(aborted.producer.value());
    out.i64(aborted.first.value());
    out.i64(aborted.last.value());
  }
  out.uvarlong(footer.producer_snapshot.size());
  out.bytes(footer.producer_snapshot);
}

// A count of items of at least `item_size` bytes each, which must be there.
std::size_t read_count(ByteReader& in, std::size_t item_size) {
  auto count = in.uvarlong();
  if (count > in.remaining() / item_size) in.fail();
  return in.ok() ? static_cast<std::size_t>(count) : 0;
}

void decode_body(ByteReader& in, Footer& footer) {
  auto topic = in.bytes(16);
  if (in.ok()) std::memcpy(footer.shard.partition.topic.bytes.data(), topic.data(), 16);
  footer.shard.partition.partition = PartitionId(in.i32());
  footer.shard.base = Offset(in.i64());
  footer.shard.generation = Generation(in.i32());
  footer.end = Offset(in.i64());
  footer.first_timestamp = in.i64();
  footer.max_timestamp = in.i64();
  footer.epochs.resize(read_count(in, 12));
  for (auto& epoch : footer.epochs) epoch = {Epoch(in.i32()), Offset(in.i64())};
  footer.index.resize(read_count(in, 3));
  IndexEntry last;
  for (auto& entry : footer.index) {
    auto offset = std::uint64_t{last.offset_delta} + in.uvarint();
    auto position = std::uint64_t{last.position} + in.uvarint();
    if (offset > UINT32_MAX || position > UINT32_MAX) in.fail();
    entry = {static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(position),
             static_cast<std::int64_t>(static_cast<std::uint64_t>(last.max_timestamp) +
                                       static_cast<std::uint64_t>(in.varlong()))};
    last = entry;
  }
  footer.block_crcs.resize(read_count(in, 4));
  for (auto& crc : footer.block_crcs) crc = in.u32();
  footer.aborted.resize(read_count(in, 24));
  for (auto& aborted : footer.aborted) aborted = {ProducerId(in.i64()), Offset(in.i64()), Offset(in.i64())};
  footer.producer_snapshot = Buffer::copy_of(in.bytes(static_cast<std::int64_t>(read_count(in, 1))));
}

// Lookups rely on these; a checksum says that the bytes are those written, not that they were written in order.
bool is_consistent(const Footer& footer) {
  if (footer.end < footer.shard.base || footer.shard.base.value() < 0 || footer.size < 0 ||
      footer.size > kShardSizeMax) {
    return false;
  }
  if (footer.block_crcs.size() != blocks_of(footer.size) || footer.index.empty() != (footer.size == 0)) return false;
  for (std::size_t i = 0; i < footer.index.size(); ++i) {
    const auto& entry = footer.index[i];
    if (entry.position >= footer.size || entry.offset_delta >= footer.end - footer.shard.base) return false;
    if (i == 0 && (entry.position != 0 || entry.offset_delta != 0)) return false;
    if (i > 0 &&
        (entry.position <= footer.index[i - 1].position || entry.offset_delta <= footer.index[i - 1].offset_delta ||
         entry.max_timestamp < footer.index[i - 1].max_timestamp)) {
      return false;
    }
  }
  return true;
}

}  // namespace

Buffer Footer::encode() const {
  ByteWriter out;
  out.reserve(128 + index.size() * 8 + block_crcs.size() * 4 + producer_snapshot.size() + aborted.size() * 24);
  encode_body(*this, out);
  auto body_size = out.size();
  out.u64(static_cast<std::uint64_t>(size));
  out.u32(static_cast<std::uint32_t>(body_size));
  out.u16(kVersion);
  out.u16(0);
  out.u32(crc32c(out.view()));
  out.u32(kMagic);
  return std::move(out).take_buffer();
}

Result<FooterPlace> find_footer(ByteView trailer) {
  if (trailer.size() != kFooterTrailerSize) return corrupt("the trailer is cut off");
  ByteReader in(trailer);
  auto data_size = in.u64();
  auto body_size = in.u32();
  auto version = in.u16();
  in.u16();
  in.u32();
  if (in.u32() != kMagic) return corrupt("no magic at the end");
  if (version != kVersion) return corrupt(unknown_version("footer", version, kVersion));
  Bytes footer_size = Bytes{body_size} + static_cast<Bytes>(kFooterTrailerSize);
  if (data_size > static_cast<std::uint64_t>(kShardSizeMax) || footer_size > kFooterSizeMax)
    return corrupt("impossible sizes");
  return FooterPlace{footer_size, static_cast<Bytes>(data_size)};
}

Result<Footer> Footer::decode(ByteView bytes) {
  if (bytes.size() < kFooterTrailerSize) return corrupt("cut off");
  auto place = TRY(find_footer(bytes.last(kFooterTrailerSize)));
  if (place.footer_size != static_cast<Bytes>(bytes.size())) return corrupt("its size is not what the trailer says");
  auto body = bytes.first(bytes.size() - kFooterTrailerSize);
  ByteReader trailer(bytes.last(kFooterTrailerSize).subspan(kTrailerSummed));
  if (crc32c(bytes.first(body.size() + kTrailerSummed)) != trailer.u32()) return corrupt("wrong checksum");
  Footer footer;
  footer.size = place.data_size;
  ByteReader in(body);
  decode_body(in, footer);
  if (!in.ok() || !in.at_end() || !is_consistent(footer)) return corrupt("contradicts itself");
  return footer;
}

Bytes Footer::position_for(Offset offset) const {
  auto wanted = std::max(offset, shard.base) - shard.base;  // any offset may be asked for, also the smallest number
  auto after = std::upper_bound(index.begin(), index.end(), wanted,
                                [](std::int64_t delta, const IndexEntry& entry) { return delta < entry.offset_delta; });
  return after == index.begin() ? 0 : Bytes{std::prev(after)->position};
}

std::optional<IndexEntry> Footer::entry_for_time(std::int64_t timestamp) const {
  auto at = std::lower_bound(index.begin(), index.end(), timestamp,
                             [](const IndexEntry& entry, std::int64_t t) { return entry.max_timestamp < t; });
  return at == index.end() ? std::nullopt : std::optional(*at);
}

std::optional<Bytes> Footer::position_for_time(std::int64_t timestamp) const {
  auto entry = entry_for_time(timestamp);
  return entry ? std::optional(Bytes{entry->position}) : std::nullopt;
}

std::uint32_t Footer::block_crc(std::uint32_t block) const {
  CHECK(block < block_crcs.size(), "the shard has no such block");
  return block_crcs[block];
}

Result<void> verify_block(const Footer& footer, std::uint32_t index, ByteView block) {
  return verify_block(footer, index, static_cast<Bytes>(block.size()), crc32c(block));
}

Result<void> verify_block(const Footer& footer, std::uint32_t index, Bytes size, std::uint32_t crc) {
  CHECK(index < footer.block_count(), "the shard has no such block");
  auto expected = std::min(kBlockSize, footer.size - Bytes{index} * kBlockSize);
  if (size == expected && crc == footer.block_crc(index)) return {};
  return fail(ErrorCode::kCorruptBlock, BlockId{footer.shard, index}.text());
}

FooterBuilder::FooterBuilder(ShardId shard) {
  footer_.shard = shard;
  footer_.end = shard.base;
}

void FooterBuilder::add(BatchView batch) {
  CHECK(batch.base_offset() >= footer_.end, "batches come in order");
  CHECK(footer_.size + static_cast<Bytes>(batch.size()) <= kShardSizeMax);
  bool first = footer_.size == 0;
  if (first) footer_.first_timestamp = batch.base_timestamp();
  footer_.max_timestamp = std::max(footer_.max_timestamp, batch.max_timestamp());
  if (footer_.epochs.empty() || batch.leader_epoch() > footer_.epochs.back().epoch) {
    footer_.epochs.push_back({batch.leader_epoch(), first ? footer_.shard.base : batch.base_offset()});
  }
  if (first || footer_.size - Bytes{footer_.index.back().position} >= kIndexInterval) {
    // The first entry stands for the shard's beginning, even where compaction has removed its first offsets.
    auto delta = first ? 0 : batch.base_offset() - footer_.shard.base;
    footer_.index.push_back({static_cast<std::uint32_t>(delta), static_cast<std::uint32_t>(footer_.size), -1});
  }
  footer_.index.back().max_timestamp = footer_.max_timestamp;

  for (auto rest = batch.bytes(); !rest.empty();) {
    auto in_block = footer_.size % kBlockSize;
    if (in_block == 0) footer_.block_crcs.push_back(crc32c({}));
    auto part = rest.first(std::min(rest.size(), static_cast<std::size_t>(kBlockSize - in_block)));
    footer_.block_crcs.back() = crc32c_extend(footer_.block_crcs.back(), part);
    footer_.size += static_cast<Bytes>(part.size());
    rest = rest.subspan(part.size());
  }
  footer_.end = batch.end_offset();
}

Footer FooterBuilder::finish(Buffer producer_snapshot) const {
  Footer out = footer_;
  out.producer_snapshot = std::move(producer_snapshot);
  return out;
}

}  // namespace forelog::log
