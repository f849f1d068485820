// manifest.h: the older part of a partition's chain, as objects in the archive; the newest shards are in the chain
// record.
//
// Manifests are pages, linked from newer to older, each written once under a name of its own. FORMAT.md has the bytes.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/log/chain.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::archive {

inline constexpr std::size_t kManifestShardsMax = 4096;  // in one page

struct Manifest {
  PartitionKey partition;
  std::string older;  // key of the page before; empty: none
  std::vector<log::ShardDescriptor> shards;
};

// "<partition prefix>manifest/<end, 20 digits>-<8 hex digits of its checksum>": equal contents, equal name.
std::string manifest_key(std::string_view prefix, const Manifest& manifest);
// The end offset in the key of a manifest of `partition`; none for any other key.
std::optional<Offset> parse_manifest_key(std::string_view prefix, const PartitionKey& partition, std::string_view key);

Buffer encode_manifest(const Manifest& manifest);
// Fails CorruptFile: bad magic, version, checksum, another partition, shards out of order.
Result<Manifest> decode_manifest(const PartitionKey& partition, ByteView bytes);

}  // namespace forelog::archive
