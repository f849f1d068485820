#include "broker/base/ids.h"

namespace forelog {
namespace {

constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::size_t mix(std::size_t seed, std::uint64_t value) {
  // The finaliser of splitmix64: cheap, and every input bit reaches every output bit.
  std::uint64_t x = seed + 0x9e3779b97f4a7c15ULL + value;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

std::size_t hash_bytes(const void* data, std::size_t size, std::size_t seed) {
  const auto* p = static_cast<const unsigned char*>(data);
  std::size_t hash = mix(seed, size);
  while (size > 0) {
    std::uint64_t word = 0;
    std::size_t n = size < 8 ? size : 8;
    for (std::size_t i = 0; i < n; ++i) word |= std::uint64_t{p[i]} << (8 * i);
    hash = mix(hash, word);
    p += n;
    size -= n;
  }
  return hash;
}

std::optional<TopicId> TopicId::parse(std::string_view text) {
  if (text.size() != 22) return std::nullopt;
  TopicId id;
  std::uint32_t bits = 0;
  int count = 0;
  std::size_t out = 0;
  for (char c : text) {
    auto digit = kBase64Url.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      if (out < id.bytes.size()) id.bytes[out++] = static_cast<std::uint8_t>(bits >> count);
    }
  }
  // 22 digits carry 132 bits; the last 4 must be zero, or two texts would name one id.
  if ((bits & 0xf) != 0) return std::nullopt;
  return id;
}

std::string TopicId::text() const {
  std::string out;
  out.reserve(22);
  std::uint32_t bits = 0;
  int count = 0;
  for (std::uint8_t b : bytes) {
    bits = (bits << 8) | b;
    count += 8;
    while (count >= 6) {
      count -= 6;
      out.push_back(kBase64Url[(bits >> count) & 63]);
    }
  }
  out.push_back(kBase64Url[(bits << (6 - count)) & 63]);
  return out;
}

std::string PartitionKey::text() const { return topic.text() + "-" + std::to_string(partition.value()); }

std::string ShardId::text() const {
  return partition.text() + "@" + std::to_string(base.value()) + "." + std::to_string(generation.value());
}

std::string BlockId::text() const { return shard.text() + " block " + std::to_string(index); }

}  // namespace forelog

std::size_t std::hash<forelog::TopicId>::operator()(const forelog::TopicId& id) const {
  return forelog::hash_bytes(id.bytes.data(), id.bytes.size());
}
std::size_t std::hash<forelog::PartitionKey>::operator()(const forelog::PartitionKey& key) const {
  return forelog::mix(std::hash<forelog::TopicId>{}(key.topic), static_cast<std::uint32_t>(key.partition.value()));
}
std::size_t std::hash<forelog::ShardId>::operator()(const forelog::ShardId& id) const {
  auto hash = std::hash<forelog::PartitionKey>{}(id.partition);
  hash = forelog::mix(hash, static_cast<std::uint64_t>(id.base.value()));
  return forelog::mix(hash, static_cast<std::uint32_t>(id.generation.value()));
}
std::size_t std::hash<forelog::BlockId>::operator()(const forelog::BlockId& id) const {
  return forelog::mix(std::hash<forelog::ShardId>{}(id.shard), id.index);
}
