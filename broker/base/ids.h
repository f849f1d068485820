// ids.h: the names of things. Every id that is stored or sent has its own type.
#pragma once

#include "broker/base/strong_type.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forelog {

using TopicName = StrongType<struct TopicNameTag, std::string>;
using PartitionId = StrongType<struct PartitionIdTag, std::int32_t>;
using Offset = StrongType<struct OffsetTag, std::int64_t>;
using Epoch = StrongType<struct EpochTag, std::int32_t>;  // leader epoch; -1 where unknown
using BrokerId = StrongType<struct BrokerIdTag, std::int32_t>;
using Generation = StrongType<struct GenerationTag, std::int32_t>;  // of a shard: grows with each rewrite
using ProducerId = StrongType<struct ProducerIdTag, std::int64_t>;
using GroupId = StrongType<struct GroupIdTag, std::string>;
using MemberId = StrongType<struct MemberIdTag, std::string>;
using CoreId = StrongType<struct CoreIdTag, std::int32_t>;

inline constexpr Offset kNoOffset{-1};
inline constexpr Epoch kNoEpoch{-1};

// A topic's identity for ever; a topic created again under the same name gets another (KIP-516).
// Text form: base64url without padding, 22 characters, as in Kafka's znodes and tools.
struct TopicId {
  std::array<std::uint8_t, 16> bytes{};

  static std::optional<TopicId> parse(std::string_view text);
  std::string text() const;
  bool is_zero() const { return *this == TopicId{}; }
  friend constexpr auto operator<=>(const TopicId&, const TopicId&) = default;
};

// A partition by identity. What storage, caches and metadata use; names appear only at the edges.
struct PartitionKey {
  TopicId topic;
  PartitionId partition;
  std::string text() const;  // "<topic id>-<partition>"
  friend constexpr auto operator<=>(const PartitionKey&, const PartitionKey&) = default;
};

// A shard: a contiguous run of a partition's offsets. The same id names the same bytes once sealed.
struct ShardId {
  PartitionKey partition;
  Offset base;
  Generation generation;
  std::string text() const;  // "<topic id>-<partition>@<base>.<generation>"
  friend constexpr auto operator<=>(const ShardId&, const ShardId&) = default;
};

// An aligned 256 KiB range of a shard's bytes (the last one may be shorter).
struct BlockId {
  ShardId shard;
  std::uint32_t index = 0;
  std::string text() const;
  friend constexpr auto operator<=>(const BlockId&, const BlockId&) = default;
};

std::size_t hash_bytes(const void* data, std::size_t size, std::size_t seed = 0);  // stable across runs and machines

}  // namespace forelog

template <>
struct std::hash<forelog::TopicId> {
  std::size_t operator()(const forelog::TopicId& id) const;
};
template <>
struct std::hash<forelog::PartitionKey> {
  std::size_t operator()(const forelog::PartitionKey& key) const;
};
template <>
struct std::hash<forelog::ShardId> {
  std::size_t operator()(const forelog::ShardId& id) const;
};
template <>
struct std::hash<forelog::BlockId> {
  std::size_t operator()(const forelog::BlockId& id) const;
};
