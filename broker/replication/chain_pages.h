// chain_pages.h: a rewritten shard takes its place in the chain record and the manifests. Pure.
#pragma once

#include "broker/archive/manifest.h"
#include "broker/cluster/chain_record.h"

#include <vector>

namespace forelog::replication {

struct ReplacedShards {
  std::vector<log::ShardDescriptor> shards;  // that `next` was made from
  std::size_t first_changed = 0;             // of the pages; all from it on must be put anew. pages.size(): none
};

// Puts `next` in the place of the shards that it covers exactly, wherever they stand; when some of them stand in
// different places it goes where the newest was. A page that loses all its shards goes. Conflict, and nothing changed,
// when no run of shards of lower generations is exactly covered.
Result<ReplacedShards> replace_in_chain(cluster::ChainRecord& record, std::vector<archive::Manifest>& pages,
                                        const log::ShardDescriptor& next);

}  // namespace forelog::replication
