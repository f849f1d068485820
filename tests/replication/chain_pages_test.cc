#include "broker/replication/chain_pages.h"

#include "tests/replication/life.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

using namespace test;

log::ShardDescriptor described(std::int64_t base, std::int64_t end, int generation = 0) {
  log::ShardDescriptor out;
  out.base = Offset(base);
  out.end = Offset(end);
  out.generation = Generation(generation);
  out.state = log::ShardState::archived;
  out.archived = true;
  out.local = false;
  out.size = 100;
  out.footer_size = 50;
  return out;
}

struct Pages {
  cluster::ChainRecord record;
  std::vector<archive::Manifest> pages;
};

// Two pages of three shards of ten offsets, and three in the record.
Pages nine_shards() {
  Pages out;
  for (int page = 0; page < 2; ++page) {
    archive::Manifest manifest{kPartition, {}, {}};
    for (int i = 0; i < 3; ++i) manifest.shards.push_back(described(page * 30 + i * 10, page * 30 + i * 10 + 10));
    out.pages.push_back(manifest);
  }
  for (int i = 6; i < 9; ++i) out.record.shards.push_back(cluster::ChainShard::of(described(i * 10, i * 10 + 10)));
  return out;
}

std::string text(const Pages& pages) {
  std::string out;
  auto add = [&](const auto& shard) {
    out += std::to_string(shard.base.value()) + "-" + std::to_string(shard.end.value()) + "." +
           std::to_string(shard.generation.value()) + " ";
  };
  for (const auto& page : pages.pages) {
    for (const auto& shard : page.shards) add(shard);
    out += "| ";
  }
  for (const auto& shard : pages.record.shards) add(shard);
  return out;
}

TEST(ReplaceInChain, WhereverTheShardsStand) {
  auto chain = nine_shards();
  auto in_record = replace_in_chain(chain.record, chain.pages, described(60, 80, 1));
  ASSERT_TRUE(in_record);
  EXPECT_EQ(in_record->first_changed, 2U);
  EXPECT_EQ(in_record->shards.size(), 2U);
  EXPECT_EQ(text(chain), "0-10.0 10-20.0 20-30.0 | 30-40.0 40-50.0 50-60.0 | 60-80.1 80-90.0 ");
  auto in_page = replace_in_chain(chain.record, chain.pages, described(10, 30, 2));
  ASSERT_TRUE(in_page);
  EXPECT_EQ(in_page->first_changed, 0U);
  EXPECT_EQ(text(chain), "0-10.0 10-30.2 | 30-40.0 40-50.0 50-60.0 | 60-80.1 80-90.0 ");
  auto over_both = replace_in_chain(chain.record, chain.pages, described(10, 80, 3));
  ASSERT_TRUE(over_both);
  EXPECT_EQ(over_both->first_changed, 0U);
  EXPECT_EQ(over_both->shards.size(), 5U);
  EXPECT_EQ(text(chain), "0-10.0 | 10-80.3 80-90.0 ");
  auto all = replace_in_chain(chain.record, chain.pages, described(0, 90, 4));
  ASSERT_TRUE(all);
  EXPECT_EQ(text(chain), "0-90.4 ");
  EXPECT_EQ(all->first_changed, 0U);
}

TEST(ReplaceInChain, RefusesWhatIsNotARunOfOlderShards) {
  for (const auto& next : {described(5, 20, 1), described(0, 15, 1), described(0, 20, 0), described(80, 100, 1)}) {
    auto chain = nine_shards();
    auto before = text(chain);
    auto replaced = replace_in_chain(chain.record, chain.pages, next);
    ASSERT_FALSE(replaced) << next.text();
    EXPECT_EQ(replaced.error().code, ErrorCode::kConflict);
    EXPECT_EQ(text(chain), before);
  }
}

}  // namespace
}  // namespace forelog::replication
