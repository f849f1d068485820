#include "broker/cluster/chain_record.h"

#include "broker/base/limits.h"

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

const PartitionKey kPartition{TopicId{{1, 2, 3}}, PartitionId{12}};

ChainRecord record(int shards) {
  ChainRecord out;
  out.leader_epoch = Epoch(17);
  out.log_start = Offset(1'000'000'000'000);
  out.manifest = "forelog/AQIDAAAAAAAAAAAAAAAAAA/12/manifest/00000001000000000000-01234567";
  for (int i = 0; i < shards; ++i) {
    log::ShardDescriptor shard;
    shard.base = Offset(1'000'000'000'000 + i * 1'000'000LL);
    shard.end = shard.base + 1'000'000;
    shard.size = 1'073'741'824;
    shard.footer_size = 1'300'000;
    shard.first_timestamp = 1'764'000'000'000 + i;
    shard.max_timestamp = 1'764'000'000'900 + i;
    shard.created_ms = shard.sealed_ms = 1'764'000'000'500;
    shard.epochs = {{Epoch(16), shard.base}};
    shard.access = {1'000'000, 1'000'000'000'000, 1'764'000'000'000};
    out.shards.push_back(ChainShard::of(shard));
  }
  return out;
}

TEST(ChainRecord, ReadsBackWhatWasWritten) {
  auto read = decode_chain_record(kPartition, encode_chain_record(record(3)));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, record(3));
  EXPECT_EQ(ChainShard::of(read->shards[1].descriptor()), read->shards[1]);
}

// As written by the first release; every later one reads it.
constexpr std::string_view kVersion1 =
    R"({"version":1,"leader_epoch":17,"log_start":1000000000000,)"
    R"("manifest":"forelog/AQIDAAAAAAAAAAAAAAAAAA/12/manifest/00000001000000000000-01234567","shards":[)"
    R"({"base":1000000000000,"end":1000001000000,"gen":0,"size":1073741824,"footer":1300000,"first":1764000000000,)"
    R"("max":1764000000900,"created":1764000000500,"sealed":1764000000500,"epochs":[16,1000000000000],)"
    R"("access":[1000000,1000000000000,1764000000000]}]})";

TEST(ChainRecord, Version1StaysReadableAndIsWhatIsWritten) {
  EXPECT_EQ(*decode_chain_record(kPartition, kVersion1), record(1));
  EXPECT_EQ(encode_chain_record(record(1)), kVersion1);
}

TEST(ChainRecord, AFullOneFitsItsZnode) {
  EXPECT_LT(encode_chain_record(record(kChainRecordShardsMax)).size(), static_cast<std::size_t>(kZnodeSizeMax));
}

TEST(ChainRecord, WhatCannotBeIsRefused) {
  auto decoded = [](ChainRecord bad) { return decode_chain_record(kPartition, encode_chain_record(bad)).has_value(); };
  auto changed = [](auto change) {
    auto out = record(3);
    change(out);
    return out;
  };
  EXPECT_TRUE(decoded(record(0)));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.version = 2; })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards.erase(r.shards.begin() + 1); })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards[0].base = r.shards[0].end; })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards[0].base = Offset(-1); })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards[2].size = kShardSizeMax + 1; })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards[2].footer = 0; })));
  EXPECT_FALSE(decoded(changed([](auto& r) { r.shards[2].epochs = {1}; })));
  for (std::string text : {"", "[]", "{\"shards\":{}}", "{\"version\":\"x\"}"}) {
    EXPECT_FALSE(decode_chain_record(kPartition, text)) << text;
  }
}

TEST(ChainRecord, FieldsOfTheFutureAreIgnored) {
  auto text = encode_chain_record(record(1));
  text.insert(1, "\"colour\":\"blue\",");
  EXPECT_EQ(*decode_chain_record(kPartition, text), record(1));
}

}  // namespace
}  // namespace forelog::cluster
