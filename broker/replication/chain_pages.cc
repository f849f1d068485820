#include "broker/replication/chain_pages.h"

#include <algorithm>

namespace forelog::replication {

Result<ReplacedShards> replace_in_chain(cluster::ChainRecord& record, std::vector<archive::Manifest>& pages,
                                        const log::ShardDescriptor& next) {
  auto covered = [&](const auto& shard) { return shard.base >= next.base && shard.end <= next.end; };
  ReplacedShards out;
  for (const auto& page : pages)
    std::copy_if(page.shards.begin(), page.shards.end(), std::back_inserter(out.shards), covered);
  for (const auto& shard : record.shards) {
    if (covered(shard)) out.shards.push_back(shard.descriptor());
  }
  bool exact = !out.shards.empty() && out.shards.front().base == next.base && out.shards.back().end == next.end &&
               std::all_of(out.shards.begin(), out.shards.end(),
                           [&](const auto& shard) { return shard.generation < next.generation; });
  if (!exact) return fail(ErrorCode::kConflict, "the archived chain has no run of shards that is " + next.text());

  out.first_changed = pages.size();
  bool placed = false;
  auto at = std::find_if(record.shards.begin(), record.shards.end(), covered);
  if (at != record.shards.end()) {
    *at = cluster::ChainShard::of(next);
    auto rest = std::find_if_not(at + 1, record.shards.end(), covered);
    record.shards.erase(at + 1, rest);
    placed = true;
  }
  for (auto i = pages.size(); i-- > 0;) {
    auto& shards = pages[i].shards;
    auto first = std::find_if(shards.begin(), shards.end(), covered);
    if (first == shards.end()) continue;
    out.first_changed = i;
    auto last = std::find_if_not(first, shards.end(), covered);
    if (!placed) *first++ = next;
    placed = true;
    shards.erase(first, last);
  }
  std::erase_if(pages, [](const auto& page) { return page.shards.empty(); });
  out.first_changed = std::min(out.first_changed, pages.size());
  return out;
}

}  // namespace forelog::replication
