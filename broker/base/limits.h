// limits.h: every hard maximum, and how they relate. Settings move below these; nothing moves above.
#pragma once

#include "broker/base/bytes.h"

namespace forelog {

inline constexpr Bytes kBlockSize = 256_KiB;       // unit of caching, checksum and archive read
inline constexpr Bytes kExtentSizeMax = 4_MiB;     // longest run of blocks loaded by one GET
inline constexpr Bytes kFirstReadSize = 1_MiB;     // asked for first on a demand miss, the rest in parallel
inline constexpr Bytes kSendTurnSize = 256_KiB;    // longest turn of one connection's send
inline constexpr Bytes kFrameSizeMax = 100_MiB;    // socket.request.max.bytes may not exceed this
inline constexpr Bytes kBatchSizeMax = 64_MiB;     // one record batch, whatever max.message.bytes says
inline constexpr Bytes kShardSizeMax = 2_GiB - 1;  // positions inside a shard are 32 bits
inline constexpr Bytes kFooterSizeMax = 64_MiB;
inline constexpr Bytes kZnodeSizeMax = 64_KiB;     // of ours; ZooKeeper refuses above 1 MiB
inline constexpr int kChainRecordShardsMax = 256;  // newest shards in a chain znode; older ones in a manifest
inline constexpr int kTopicNameMax = 249;

static_assert(kExtentSizeMax % kBlockSize == 0, "an extent is whole blocks");
static_assert(kFirstReadSize % kBlockSize == 0 && kFirstReadSize <= kExtentSizeMax);
static_assert(kBatchSizeMax < kFrameSizeMax, "a batch arrives inside a frame");
static_assert(kBatchSizeMax < kShardSizeMax, "a shard holds at least one batch");

}  // namespace forelog
