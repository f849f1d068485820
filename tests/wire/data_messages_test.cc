// Payloads with their version in front: what consumers and coordinators store.
#include "broker/wire/consumer_protocol.h"
#include "broker/wire/coordinator_records.h"
#include "tests/wire/hex.h"

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

Buffer bytes(std::string_view notation) { return Buffer::take(bytes_of(notation)); }

TEST(CoordinatorRecords, AreKafkasBytes) {
  EXPECT_EQ(hex(encode_data(OffsetCommitKey{GroupId("g"), TopicName("t"), PartitionId(2)}, OffsetCommitKey::written)),
            hex(bytes("0001 0001'g' 0001't' 00000002")));
  OffsetCommitValue value;
  value.offset = Offset(5);
  value.leader_epoch = Epoch(1);
  value.metadata = "m";
  value.commit_timestamp = 258;
  EXPECT_EQ(hex(encode_data(value, OffsetCommitValue::written)),
            hex(bytes("0003 0000000000000005 00000001 0001'm' 0000000000000102")));
  EXPECT_EQ(hex(encode_data(GroupMetadataKey{GroupId("g")}, GroupMetadataKey::written)), hex(bytes("0002 0001'g'")));
}

TEST(CoordinatorRecords, TheVersionOfAKeyTellsWhatItIs) {
  auto offset = decode_coordinator_key(bytes("0001 0001'g' 0001't' 00000002"));
  ASSERT_TRUE(offset);
  EXPECT_EQ(std::get<OffsetCommitKey>(*offset).partition, PartitionId(2));
  auto group = decode_coordinator_key(bytes("0002 0001'g'"));
  ASSERT_TRUE(group);
  EXPECT_EQ(std::get<GroupMetadataKey>(*group).group, GroupId("g"));
  auto other = decode_coordinator_key(bytes("0005 'whatever'"));
  ASSERT_TRUE(other);
  EXPECT_EQ(std::get<UnknownCoordinatorKey>(*other).type, 5);
  EXPECT_FALSE(decode_coordinator_key(bytes("00")));
  EXPECT_FALSE(decode_coordinator_key(bytes("ffff 0001'g'")));
  EXPECT_FALSE(decode_coordinator_key(bytes("0002 0001'g' 00"))) << "bytes after the key";
}

TEST(CoordinatorRecords, AValueOfALaterVersionIsRefused) {
  EXPECT_FALSE(decode_data<OffsetCommitValue>(bytes("0005 0000000000000005 00000001 0001'm' 0000000000000102")));
}

TEST(ConsumerProtocol, ALaterVersionIsReadAsOursAndItsRestIgnored) {
  auto assignment =
      decode_data<ConsumerProtocolAssignment>(bytes("0009 00000001 0001't' 00000001 00000007 ffffffff 'new'"));
  ASSERT_TRUE(assignment) << assignment.error().text();
  EXPECT_EQ(assignment->assigned_partitions.at(0).partitions, std::vector{PartitionId(7)});
  EXPECT_EQ(assignment->user_data, std::nullopt);
}

TEST(ConsumerProtocol, AnEmptyPayloadIsNotASubscription) {
  EXPECT_FALSE(decode_data<ConsumerProtocolSubscription>(Buffer{}));
}

}  // namespace
}  // namespace forelog::wire
