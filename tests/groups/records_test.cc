#include "broker/groups/records.h"

#include "broker/base/byte_writer.h"
#include "broker/groups/partition_of.h"

#include <gtest/gtest.h>

namespace forelog::groups {
namespace {

std::string hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (auto byte : bytes) {
    out += kDigits[static_cast<unsigned>(byte) >> 4];
    out += kDigits[static_cast<unsigned>(byte) & 15];
  }
  return out;
}

OffsetRecord offset_record() {
  return {.group = GroupId("g"),
          .partition = {TopicName("orders"), PartitionId(3)},
          .committed = CommittedOffset{
              .offset = Offset(258), .leader_epoch = Epoch(7), .metadata = "m", .committed = from_ms(1000)}};
}

StoredRecord round_trip(const StoredRecord& record) {
  auto encoded = encode_record(record);
  std::optional<ByteView> value;
  if (encoded.value) value = encoded.value->view();
  auto decoded = decode_record(encoded.key, value);
  EXPECT_TRUE(decoded && decoded->has_value());
  return **decoded;
}

// Bytes as Kafka's formats lay them out: OffsetCommitKey v1, OffsetCommitValue v3.
TEST(GroupRecords, ACommittedOffsetHasKafkasBytes) {
  auto encoded = encode_record(offset_record());
  EXPECT_EQ(hex(encoded.key),
            "0001"
            "0001"
            "67"
            "0006"
            "6f7264657273"
            "00000003");
  EXPECT_EQ(hex(*encoded.value),
            "0003"
            "0000000000000102"
            "00000007"
            "0001"
            "6d"
            "00000000000003e8");
}

// The v1 value: offset, metadata, commit time, expiry.
TEST(GroupRecords, AnOffsetThatExpiresByItselfHasVersion1) {
  auto record = offset_record();
  record.committed->expires = from_ms(2000);
  auto encoded = encode_record(record);
  EXPECT_EQ(hex(*encoded.value),
            "0001"
            "0000000000000102"
            "0001"
            "6d"
            "00000000000003e8"
            "00000000000007d0");
}

// GroupMetadataKey v2, GroupMetadataValue v3.
TEST(GroupRecords, AGroupHasKafkasBytes) {
  GroupSnapshot snapshot{.protocol_type = "consumer",
                         .generation = GroupGeneration(5),
                         .protocol = "range",
                         .leader = MemberId("m"),
                         .state_since = from_ms(1000)};
  snapshot.members.push_back({.id = MemberId("m"),
                              .instance = InstanceId("i"),
                              .client_id = "c",
                              .client_host = "/h",
                              .rebalance_timeout = 60s,
                              .session_timeout = 10s,
                              .subscription = Buffer::copy_of("S"),
                              .assignment = Buffer::copy_of("A")});
  auto encoded = encode_record(GroupRecord{GroupId("g"), snapshot});
  EXPECT_EQ(hex(encoded.key),
            "0002"
            "0001"
            "67");
  EXPECT_EQ(hex(*encoded.value),
            "0003"
            "0008"
            "636f6e73756d6572"
            "00000005"
            "0005"
            "72616e6765"
            "0001"
            "6d"
            "00000000000003e8"
            "00000001"
            "0001"
            "6d"
            "0001"
            "69"
            "0001"
            "63"
            "0002"
            "2f68"
            "0000ea60"
            "00002710"
            "00000001"
            "53"
            "00000001"
            "41");
  EXPECT_EQ(round_trip(GroupRecord{GroupId("g"), snapshot}), StoredRecord(GroupRecord{GroupId("g"), snapshot}));
}

TEST(GroupRecords, WhatIsWrittenIsReadBack) {
  EXPECT_EQ(round_trip(offset_record()), StoredRecord(offset_record()));
  auto tombstone = offset_record();
  tombstone.committed.reset();
  EXPECT_EQ(round_trip(tombstone), StoredRecord(tombstone));
  EXPECT_EQ(round_trip(GroupRecord{GroupId("g")}), StoredRecord(GroupRecord{GroupId("g")}));
  GroupRecord empty{GroupId("g"), GroupSnapshot{.protocol_type = "consumer", .generation = GroupGeneration(2)}};
  EXPECT_EQ(round_trip(empty), StoredRecord(empty));
}

TEST(GroupRecords, OlderVersionsAreRead) {
  ByteWriter value;
  value.i16(0);
  value.i64(258);
  value.i16(1);
  value.text("m");
  value.i64(1000);
  auto key = encode_record(offset_record()).key;
  auto decoded = decode_record(key, value.view());
  ASSERT_TRUE(decoded && *decoded);
  auto expected = offset_record();
  expected.committed->leader_epoch = kNoEpoch;
  EXPECT_EQ(**decoded, StoredRecord(expected));
}

TEST(GroupRecords, NewerKindsAreLeftAloneAndNonsenseIsRefused) {
  ByteWriter newer;
  newer.i16(5);
  newer.text("whatever");
  auto decoded = decode_record(newer.view(), std::nullopt);
  ASSERT_TRUE(decoded);
  EXPECT_FALSE(decoded->has_value());
  EXPECT_FALSE(decode_record(as_bytes(""), std::nullopt));
  EXPECT_FALSE(decode_record(as_bytes("\xff\xff"), std::nullopt));
  auto whole = encode_record(offset_record());
  for (std::size_t size = 0; size < whole.value->size(); ++size) {
    EXPECT_FALSE(decode_record(whole.key, whole.value->view().first(size))) << size;
  }
}

// Values of Java's String.hashCode.
TEST(PartitionOf, HashesAsJavaDoes) {
  EXPECT_EQ(java_string_hash(""), 0);
  EXPECT_EQ(java_string_hash("hello"), 99162322);
  EXPECT_EQ(java_string_hash("polygenelubricants"), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(java_string_hash("\xc3\xa4"), 0xe4);             // ä
  EXPECT_EQ(java_string_hash("\xf0\x9f\x98\x80"), 1772899);  // U+1F600, two code units
  EXPECT_EQ(java_string_hash("\xff"), 0xfffd);
  EXPECT_EQ(java_string_hash("\xed\xa0\x80"), java_string_hash("\xff\xff\xff"));  // a lone surrogate is no UTF-8
  EXPECT_EQ(partition_of(GroupId("polygenelubricants"), 50), PartitionId(0));
  EXPECT_EQ(partition_of(GroupId("hello"), 50), PartitionId(22));
}

}  // namespace
}  // namespace forelog::groups
