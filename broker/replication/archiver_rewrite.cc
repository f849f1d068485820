// Rewritten shards come into the chain record.
#include "broker/archive/shard_object.h"
#include "broker/base/log.h"
#include "broker/replication/archiver.h"
#include "broker/replication/chain_pages.h"
#include "broker/replication/small_content.h"

#include <algorithm>
#include <utility>

namespace forelog::replication {
namespace {

constexpr Duration kRetiredMax = 24h;  // more would be kept for the next start to find

}  // namespace

// The number is in the chain record before the object has it: were this broker to put it and crash, or to hang and be
// overtaken, nobody gives the same number to other bytes.
Task<Result<Generation>> Archiver::reserve_generation() {
  if (!loaded_) co_return fail(ErrorCode::kConflict, "the chain of " + partition_.text() + " is to be read again");
  auto next = record_;
  auto highest = std::max(log_.next_generation(), next.generation.value_or(Generation(0)) + 1);
  for (const auto& shard : next.shards) highest = std::max(highest, shard.generation + 1);
  for (const auto& page : pages_) {
    for (const auto& shard : page.shards) highest = std::max(highest, shard.generation + 1);
  }
  next.generation = highest;
  CO_TRY(co_await write_chain(std::move(next)));
  co_return highest;
}

Task<Result<void>> Archiver::replace(log::ShardDescriptor next, log::SegmentContent& content) {
  auto record = record_;
  auto pages = pages_;
  auto keys = page_keys_;
  auto replaced = CO_TRY(replace_in_chain(record, pages, next));
  auto deadline = context_.env.clock.now() + context_.settings.put_timeout;
  CO_TRY(co_await archive::put_shard(*context_.env.archive, key_of(next), content, content.footer(), deadline));
  CO_TRY(co_await put_pages(replaced.first_changed, record, pages, keys));
  CO_TRY(co_await write_chain(std::move(record)));
  for (auto& key : page_keys_) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) garbage_.push_back(std::move(key));
  }
  pages_ = std::move(pages);
  page_keys_ = std::move(keys);
  auto swapped = co_await log_.replace_shards(next, content.footer().encode());
  if (!swapped) {
    loaded_ = false;  // the record is ahead of the catalog, which catches up when the chain is loaded again
    co_return fail(std::move(swapped).error());
  }
  publish();
  for (const auto& shard : replaced.shards) retire(shard);
  log_line(info, "shards_replaced",
           {{"shard", ShardId{partition_, next.base, next.generation}},
            {"end_offset", next.end},
            {"shards", replaced.shards.size()},
            {"bytes", next.size}});
  co_return Result<void>{};
}

// Pages are named by what they hold, so that all from the first changed one on have new names.
Task<Result<void>> Archiver::put_pages(std::size_t first_changed, cluster::ChainRecord& record,
                                       std::vector<archive::Manifest>& pages, std::vector<std::string>& keys) {
  if (first_changed == keys.size() && pages.size() == keys.size()) co_return Result<void>{};
  keys.resize(first_changed);
  for (auto i = first_changed; i < pages.size(); ++i) {
    pages[i].older = i == 0 ? std::string() : keys[i - 1];
    keys.push_back(archive::manifest_key(context_.settings.prefix, pages[i]));
    SmallContent content(archive::encode_manifest(pages[i]));
    CO_TRY(co_await context_.env.archive->put(keys.back(), content, request_deadline()));
  }
  record.manifest = keys.empty() ? std::string() : keys.back();
  co_return Result<void>{};
}

// The chain record names a generation that the catalog does not have: the swap was cut off between the two.
Task<Result<void>> Archiver::adopt_rewritten(const log::ShardDescriptor& shard) {
  auto trial = log_.chain();
  if (!trial.replace(shard)) co_return Result<void>{};  // not a rewrite of what is here
  std::vector<log::ShardDescriptor> old;
  for (const auto& each : log_.chain().shards()) {
    if (each.base >= shard.base && each.end <= shard.end) old.push_back(each);
  }
  ShardId id{partition_, shard.base, shard.generation};
  archive::ObjectShape shape{shard.object_size(), shard.footer_size};
  auto footer =
      CO_TRY(co_await archive::read_footer(*context_.env.archive, key_of(shard), id, shape, request_deadline()));
  CO_TRY(co_await log_.replace_shards(shard, footer.encode()));
  for (const auto& each : old) retire(each);
  log_line(info, "rewritten_shard_adopted", {{"shard", id}, {"end_offset", shard.end}, {"shards", old.size()}});
  co_return Result<void>{};
}

// Nobody looks for the shard under its old generation from now on; who did so just before gets some time.
void Archiver::retire(const log::ShardDescriptor& shard) {
  ShardId id{partition_, shard.base, shard.generation};
  auto due = context_.env.clock.now() + std::min<Duration>(log_.settings().file_delete_delay, kRetiredMax);
  if (shard.archived) retired_.emplace_back(due, key_of(shard));
  if (context_.footers != nullptr) context_.footers->forget(id);
  if (context_.cache != nullptr) context_.cache->erase({id, 0, cache::block_count(shard.size)});
}

}  // namespace forelog::replication
