// What a client may send to make a decoder read too far, take too much memory, or say too little.
#include "broker/wire/decoder.h"

#include "broker/wire/describe_configs.h"
#include "broker/wire/describe_groups.h"
#include "broker/wire/describe_topic_partitions.h"
#include "broker/wire/fetch.h"
#include "broker/wire/metadata.h"
#include "broker/wire/produce.h"
#include "tests/wire/hex.h"

#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

namespace {

// The largest single allocation since it was last set to 0; the whole test program allocates through here.
std::size_t largest_allocation = 0;

}  // namespace

void* operator new(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  void* memory = std::malloc(size);  // NOLINT: this is the allocator
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }               // NOLINT
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }  // NOLINT

namespace forelog::wire {
namespace {

Buffer body(std::string_view notation) { return Buffer::take(bytes_of(notation)); }

// Why `notation` is refused; "" when it is not.
template <class T>
std::string refusal(std::string_view notation, Version version) {
  auto decoded = decode<T>(body(notation), version);
  if (decoded) return "";
  EXPECT_EQ(decoded.error().code, ErrorCode::kMalformed);
  return decoded.error().context;
}

TEST(Decoder, NamesTheFieldThatDoesNotFit) {
  EXPECT_EQ(refusal<FetchRequest>("ffffffff 00000000 00000000 00000000 00 00000001 0001't' 00000002"
                                  "00000000 0000000000000000 00000000 00000000 0000",
                                  4),
            "Fetch v4: field topics[0].partitions[1].fetch_offset");
  EXPECT_EQ(refusal<MetadataRequest>("", 1), "Metadata v1: field topics");
  EXPECT_EQ(refusal<MetadataRequest>("00 01 00 00 00 00", 9), "Metadata v9: 1 bytes after the message");
  EXPECT_EQ(refusal<MetadataRequest>("00 01 00 00", 9), "Metadata v9: field tags");
}

TEST(Decoder, RefusesHugeClaimsWithoutMakingRoomForThem) {
  largest_allocation = 0;
  EXPECT_NE(refusal<MetadataRequest>("7fffffff", 1), "");
  EXPECT_NE(refusal<MetadataRequest>("ffffffff0f 00000000", 9), "") << "2^32 - 2 elements";
  EXPECT_NE(refusal<MetadataRequest>("ffffffffffffffffff01", 9), "") << "a length of 64 bits";
  EXPECT_NE(refusal<ProduceRequest>("ffff 0001 00000000 00000001 0001't' 00000001 00000000 7fffffff 'abc'", 3), "");
  EXPECT_NE(refusal<ProduceRequest>("ffff 0001 00000000 00000001 7fff", 3), "");
  EXPECT_NE(
      refusal<FetchRequest>("ffffffff 00000000 00000000 00000000 00 00000000 00000000 01 01 01 01 00 ffffffff0f", 12),
      "");
  EXPECT_NE(
      refusal<FetchRequest>("ffffffff 00000000 00000000 00000000 00 00000000 00000000 01 01 01 ffffffff0f 00", 12), "");
  EXPECT_LT(largest_allocation, 4096U);
}

TEST(Decoder, RefusesNegativeLengthsOtherThanNull) {
  EXPECT_NE(refusal<MetadataRequest>("fffffffe", 1), "");
  EXPECT_NE(refusal<MetadataRequest>("00000001 fffe", 1), "");
  EXPECT_NE(refusal<ProduceRequest>("ffff 0001 00000000 00000001 0001't' 00000001 00000000 fffffffe", 3), "");
}

TEST(Decoder, RefusesNullWhereTheVersionHasNone) {
  EXPECT_EQ(refusal<MetadataRequest>("ffffffff", 0), "Metadata v0: field topics");
  EXPECT_EQ(refusal<MetadataRequest>("ffffffff", 1), "") << "from v1 on null means all topics";
  EXPECT_EQ(refusal<MetadataRequest>("00000001 ffff", 1), "Metadata v1: field topics[0].name");
}

TEST(Decoder, CapsTheMemoryOfManyTinyElements) {
  // 5 MB of empty strings would be 160 MB of std::string, before anybody looked at them.
  const std::size_t count = 5'000'000;
  std::string bomb = bytes_of("c1 96b102");  // uvarint of count + 1
  bomb.append(count, '\1');
  bomb.append(2, '\0');
  largest_allocation = 0;
  auto decoded = decode<DescribeGroupsRequest>(Buffer::take(std::move(bomb)), 5);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().context, "DescribeGroups v5: field groups");
  EXPECT_LT(largest_allocation, 4096U);
}

TEST(Decoder, AllArraysOfAMessageShareOneCap) {
  std::string bomb = bytes_of("03");
  for (int resource = 0; resource < 2; ++resource) {
    bomb += bytes_of("02 01 c1a38601");  // a topic without a name, 2,200,000 keys: 70 MB of std::string
    bomb.append(2'200'000, '\1');
    bomb += bytes_of("00");
  }
  auto decoded = decode<DescribeConfigsRequest>(Buffer::take(std::move(bomb)), 4);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().context, "DescribeConfigs v4: field resources[1].configuration_keys");
}

TEST(Decoder, SkipsTagsItDoesNotKnow) {
  auto request = decode<MetadataRequest>(body("00 01 00 00 02 05 01 aa 818004 03 'abc'"), 9);
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_FALSE(request->topics);
}

TEST(Decoder, RefusesTagsOutOfOrderOrTwice) {
  EXPECT_EQ(refusal<MetadataRequest>("00 01 00 00 02 05 00 06 00", 9), "");
  EXPECT_NE(refusal<MetadataRequest>("00 01 00 00 02 06 00 05 00", 9), "");
  EXPECT_NE(refusal<MetadataRequest>("00 01 00 00 02 05 00 05 00", 9), "");
}

TEST(Decoder, AKnownTagMustFillItsSizeExactly) {
  const std::string fixed = "ffffffff 00000000 00000000 00000000 00 00000000 00000000 01 01 01 ";
  EXPECT_EQ(refusal<FetchRequest>(fixed + "01 00 03 03'ab'", 12), "");
  EXPECT_EQ(refusal<FetchRequest>(fixed + "01 00 04 03'abc'", 12), "Fetch v12: field cluster_id");
  EXPECT_EQ(refusal<FetchRequest>(fixed + "01 00 02 03'ab'", 12), "Fetch v12: field cluster_id");
}

TEST(Decoder, ANullableStructIsMarkedByOneByte) {
  EXPECT_FALSE(decode<DescribeTopicPartitionsRequest>(body("01 00000001 ff 00"), 0)->cursor);
  auto request = decode<DescribeTopicPartitionsRequest>(body("01 00000001 01 02't' 00000007 00 00"), 0);
  ASSERT_TRUE(request && request->cursor);
  EXPECT_EQ(request->cursor->partition_index, PartitionId(7));
}

}  // namespace
}  // namespace forelog::wire
