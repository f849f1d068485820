#include "predictor/block_map.h"

#include <algorithm>
#include <bit>

namespace forelog::predictor {
namespace {

constexpr std::size_t kEndpointsMax = 4096;
constexpr std::int64_t kTextMax = 4096;
constexpr int kShiftMax = 40;

void put_text(ByteWriter& out, const std::string& text) {
  out.u32(static_cast<std::uint32_t>(text.size())), out.text(text);
}
std::string take_text(ByteReader& in) {
  auto size = std::int64_t{in.u32()};
  if (size > kTextMax) in.fail();
  return std::string(in.text(in.ok() ? size : 0));
}

}  // namespace

bool BlockMap::learn(const PartitionKey& partition, Offset first, Offset last, Bytes bytes) {
  if (streams_.contains(partition)) return true;
  if (partitions_.size() >= partitions_max_) return false;
  if (bytes <= 0 || last < first) return true;
  double records = static_cast<double>(last.value()) - static_cast<double>(first.value()) + 1;
  auto in_a_block =
      static_cast<std::uint64_t>(std::max(1.0, records * static_cast<double>(kBlockSize) / static_cast<double>(bytes)));
  auto shift = std::min(static_cast<int>(std::bit_width(in_a_block)) - 1, kShiftMax);
  streams_.emplace(partition, static_cast<StreamId>(partitions_.size()));
  partitions_.push_back({partition, static_cast<std::uint8_t>(shift), 0});
  return true;
}

std::optional<Place> BlockMap::place_of(const PartitionKey& partition, Offset offset) const {
  auto at = streams_.find(partition);
  if (at == streams_.end() || offset.value() < 0) return std::nullopt;
  return Place{at->second, offset.value() >> partitions_[at->second].shift};
}

std::optional<BlockMap::Span> BlockMap::span_of(const Place& place, std::int64_t blocks) const {
  if (place.stream >= partitions_.size() || place.block < 0 || blocks < 1) return std::nullopt;
  const auto& partition = partitions_[place.stream];
  constexpr std::int64_t kOffsetMax = std::int64_t{1} << 62;
  if (place.block > (kOffsetMax >> partition.shift) || blocks > (kOffsetMax >> partition.shift) - place.block)
    return std::nullopt;
  return Span{partition.key,
              {Offset(place.block << partition.shift), Offset((place.block + blocks) << partition.shift)}};
}

void BlockMap::set_endpoint(const PartitionKey& partition, const std::string& endpoint) {
  auto at = streams_.find(partition);
  if (at == streams_.end()) return;
  auto& mine = partitions_[at->second].endpoint;
  if (endpoints_[mine] == endpoint) return;
  auto found = std::ranges::find(endpoints_, endpoint);
  if (found == endpoints_.end() && endpoints_.size() >= kEndpointsMax) return;
  if (found == endpoints_.end()) found = endpoints_.insert(endpoints_.end(), endpoint);
  mine = static_cast<std::uint32_t>(found - endpoints_.begin());
}

const std::string& BlockMap::endpoint_of(StreamId stream) const {
  return stream < partitions_.size() ? endpoints_[partitions_[stream].endpoint] : endpoints_[0];
}

void BlockMap::save(ByteWriter& out) const {
  out.u32(static_cast<std::uint32_t>(endpoints_.size()));
  for (const auto& endpoint : endpoints_) put_text(out, endpoint);
  out.u32(static_cast<std::uint32_t>(partitions_.size()));
  for (const auto& p : partitions_) {
    out.bytes(std::as_bytes(std::span(p.key.topic.bytes)));
    out.i32(p.key.partition.value()), out.u8(p.shift), out.u32(p.endpoint);
  }
}

bool BlockMap::load(ByteReader& in) {
  BlockMap loaded(partitions_max_);
  loaded.endpoints_.clear();
  auto endpoints = in.u32();
  for (std::uint32_t i = 0; i < endpoints && in.ok(); ++i) loaded.endpoints_.push_back(take_text(in));
  if (loaded.endpoints_.empty() || loaded.endpoints_.size() > kEndpointsMax) return false;
  auto partitions = in.u32();
  for (std::uint32_t i = 0; i < partitions && in.ok(); ++i) {
    Partition p;
    auto topic = in.bytes(16);
    if (!in.ok()) return false;
    std::memcpy(p.key.topic.bytes.data(), topic.data(), 16);
    p.key.partition = PartitionId(in.i32());
    p.shift = in.u8(), p.endpoint = in.u32();
    bool sane = in.ok() && p.shift <= kShiftMax && p.endpoint < loaded.endpoints_.size() && i < partitions_max_;
    if (!sane || !loaded.streams_.emplace(p.key, i).second) return false;
    loaded.partitions_.push_back(p);
  }
  if (!in.ok()) return false;
  *this = std::move(loaded);
  return true;
}

std::uint32_t Names::id_of(const std::string& name) {
  auto at = ids_.find(name);
  if (at != ids_.end()) return at->second;
  if (names_.size() >= names_max_ || name.size() > static_cast<std::size_t>(kTextMax)) return 0;
  auto id = static_cast<std::uint32_t>(names_.size());
  ids_.emplace(name, id);
  names_.push_back(name);
  return id;
}

void Names::save(ByteWriter& out) const {
  out.u32(static_cast<std::uint32_t>(names_.size()));
  for (const auto& name : names_) put_text(out, name);
}

bool Names::load(ByteReader& in) {
  Names loaded(names_max_);
  auto count = in.u32();
  if (count == 0 || count > names_max_) return false;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    auto name = take_text(in);
    if (i > 0 && (name.empty() || loaded.id_of(name) != i)) return false;
  }
  if (!in.ok()) return false;
  *this = std::move(loaded);
  return true;
}

}  // namespace forelog::predictor
