#include "broker/archive/shard_object.h"

#include "broker/archive/manifest.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "tests/archive/archived_partition.h"

namespace forelog::archive::test {
namespace {

class BufferContent final : public env::ObjectContent {
 public:
  explicit BufferContent(Buffer bytes) : bytes_(std::move(bytes)) {}
  Bytes size() const override { return static_cast<Bytes>(bytes_.size()); }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    ++reads;
    co_return bytes_.slice(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  }
  int reads = 0;

 private:
  Buffer bytes_;
};

class ShardObjectTest : public ArchiveTest {
 protected:
  Result<void> put(BufferContent& content) {
    return run(world, machine,
               put_shard(*machine.env().archive, partition->key(0), content, partition->footers[0], world.now() + 10s));
  }
  Result<log::Footer> footer(std::optional<ObjectShape> shape = std::nullopt) {
    return run(world, machine,
               read_footer(*machine.env().archive, partition->key(0), partition->id(0), shape, world.now() + 10s));
  }
};

TEST_F(ShardObjectTest, KeysNameShardsAndNothingElseDoes) {
  ShardId shard{kPartition, Offset(1234), Generation{5}};
  auto key = object_key("a/b", shard);
  EXPECT_EQ(key, "a/b/" + kPartition.topic.text() + "/4/00000000000000001234.5");
  EXPECT_EQ(parse_object_key("a/b", key), shard);
  for (std::string wrong : {"", "a/b", "a/b/", "a/b/x/4/00000000000000001234.5"}) {
    EXPECT_EQ(parse_object_key("a/b", wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(parse_object_key("a", key), std::nullopt);
  EXPECT_EQ(parse_object_key("a/b", key + "5x"), std::nullopt);
  EXPECT_EQ(parse_object_key("a/b", key.substr(0, key.size() - 1) + "05"), std::nullopt);
  EXPECT_EQ(parse_object_key("a/b", partition_prefix("a/b", kPartition) + "manifest/00000000000000001234-0badcafe"),
            std::nullopt);
}

TEST_F(ShardObjectTest, PutIsVerifiedAndMayBeRepeated) {
  make({{300, 1000}});
  auto whole = world.objects()[partition->key(0)];
  world.objects().clear();
  BufferContent content(whole);
  ASSERT_TRUE(put(content));
  EXPECT_TRUE(world.objects()[partition->key(0)] == whole);
  content.reads = 0;
  ASSERT_TRUE(put(content));
  EXPECT_EQ(content.reads, 0);  // it is there already
}

TEST_F(ShardObjectTest, ARemnantOfAnotherPutIsReplaced) {
  make({{300, 1000}});
  auto whole = world.objects()[partition->key(0)];
  world.objects()[partition->key(0)] = whole.slice(0, whole.size() / 2);
  BufferContent content(whole);
  ASSERT_TRUE(put(content));
  EXPECT_TRUE(world.objects()[partition->key(0)] == whole);
}

TEST_F(ShardObjectTest, AnUploadWhoseFooterDoesNotFitIsRefused) {
  make({{300, 1000}});
  auto whole = world.objects()[partition->key(0)];
  BufferContent content(whole.slice(0, whole.size() - 1));
  EXPECT_EQ(put(content).error().code, ErrorCode::kCorruptFile);
}

TEST_F(ShardObjectTest, FootersAreReadWithAndWithoutKnowingSizes) {
  make({{300, 1000}});
  EXPECT_EQ(*footer(), partition->footers[0]);
  EXPECT_EQ(*footer(ObjectShape{partition->shards[0].object_size(), partition->shards[0].footer_size}),
            partition->footers[0]);
}

TEST_F(ShardObjectTest, WhatIsNoShardOrAnotherIsRefused) {
  make({{300, 1000}, {10, 100}});
  auto& object = world.objects()[partition->key(0)];
  auto whole = object;
  for (std::size_t size : {std::size_t{0}, std::size_t{10}, whole.size() - 1}) {
    object = whole.slice(0, size);
    EXPECT_EQ(footer().error().code, ErrorCode::kCorruptFile) << size;
  }
  object = world.objects()[partition->key(1)];
  EXPECT_EQ(footer().error().code, ErrorCode::kCorruptFile);
  world.objects().clear();
  EXPECT_EQ(footer().error().code, ErrorCode::kNotFound);
}

TEST_F(ShardObjectTest, IndexesComeFromTheCatalogOnceTheyWereRead) {
  make({{300, 1000}});
  ASSERT_TRUE(run(world, machine, footers->get(partition->id(0), std::nullopt, kForever)));
  footers->forget(partition->id(0));
  EXPECT_EQ(footers->used(), 0);
  machine.faults().archive_outage = true;
  auto again = run(world, machine, footers->get(partition->id(0), std::nullopt, kForever));
  ASSERT_TRUE(again);
  EXPECT_EQ(**again, partition->footers[0]);
}

Manifest manifest() {
  Manifest out{kPartition, "older/page", {}};
  for (int i = 0; i < 3; ++i) {
    log::ShardDescriptor shard;
    shard.base = Offset(i * 10);
    shard.end = Offset(i * 10 + 10);
    shard.size = 1000;
    shard.footer_size = 100;
    shard.epochs = {{Epoch{1}, shard.base}};
    out.shards.push_back(shard);
  }
  return out;
}

TEST(Manifest, ReadsBackWhatWasWritten) {
  auto read = decode_manifest(kPartition, encode_manifest(manifest()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->older, "older/page");
  EXPECT_EQ(read->shards, manifest().shards);
}

// As written by the first release; every later one reads it.
TEST(Manifest, Version1StaysReadable) {
  auto json = R"({"partition":")" + kPartition.text() +
              R"(","older":"older/page","shards":[{"base":0,"generation":0,"end":10,)"
              R"("state":"archived","local":false,"archived":true,"size":1000,"footer_size":100,"first_timestamp":5,)"
              R"("max_timestamp":9,"epochs":[{"epoch":1,"start":0}],"created_ms":7,"sealed_ms":8,)"
              R"("access":{"reads":1,"bytes":2,"last_read_ms":3}}]})";
  ByteWriter writer;
  writer.text(std::string_view("FLMF\0\1", 6));
  writer.u32(crc32c(as_bytes(json)));
  writer.text(json);
  auto read = decode_manifest(kPartition, writer.view());
  ASSERT_TRUE(read);
  EXPECT_EQ(as_text(encode_manifest(*read)), as_text(writer.view()));
}

TEST(Manifest, EqualContentsHaveEqualNames) {
  auto other = manifest();
  EXPECT_EQ(manifest_key("p", manifest()), manifest_key("p", other));
  other.shards.back().size += 1;
  EXPECT_NE(manifest_key("p", manifest()), manifest_key("p", other));
}

TEST(Manifest, AnyChangedByteIsNoticed) {
  std::string good(encode_manifest(manifest()).text());
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] ^= 4;
    EXPECT_FALSE(decode_manifest(kPartition, as_bytes(bad))) << i;
    EXPECT_FALSE(decode_manifest(kPartition, as_bytes(good.substr(0, i)))) << i;
  }
  EXPECT_FALSE(decode_manifest({kPartition.topic, PartitionId{5}}, as_bytes(good)));
}

TEST(Manifest, ShardsOutOfOrderAreRefused) {
  auto gap = manifest();
  gap.shards.erase(gap.shards.begin() + 1);
  EXPECT_EQ(decode_manifest(kPartition, encode_manifest(gap)).error().code, ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace forelog::archive::test
