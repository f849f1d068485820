// Records of the access log, as the first release wrote them, stay readable: logs are kept for days, over upgrades.

#include "tests/support/golden.h"

#include "broker/prefetch/access_records.h"

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

using forelog::test::golden;

const PartitionKey kPartition{TopicId{{1, 2, 3}}, PartitionId(4)};

ClientPtr client() {
  auto out = std::make_shared<ClientInfo>();
  out->connection = ConnectionId{77};
  out->client_id = "consumer-billing-3";
  out->principal = "User:ann";
  out->host = "10.0.0.1";
  return out;
}

thrift::AccessLogRecord record_of(thrift::AccessLogBody body) {
  thrift::AccessLogRecord record;
  record.body = std::move(body);
  return record;
}

TEST(Golden, AnAccessRecordOfVersion1) {
  AccessEvent event;
  event.client = client();
  event.partition = kPartition;
  event.topic = "orders";
  event.leader_epoch = Epoch(3);
  event.asked = event.first = Offset(1200);
  event.last = Offset(1299);
  event.first_timestamp = 1'700'000'000'000;
  event.last_timestamp = 1'700'000'000'999;
  event.high_watermark = Offset(5000);
  event.shard = {kPartition, Offset(1000), Generation(1)};
  event.first_block = 3;
  event.last_block = 5;
  event.max_bytes = 50 << 20;
  event.bytes.archive = 600'000;
  event.wait = 51ms;
  event.wait_cause = WaitCause::archive;
  event.plan = PlanId(9);
  auto record = record_of(to_record(ReaderId(12), event, 1));
  auto stored = golden("access_record_v1", encode(record));
  auto read = decode_access_record(as_bytes(stored));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, record);
}

TEST(Golden, AReaderRecordOfVersion1) {
  ReaderEvent event;
  event.reader = ReaderId(12);
  event.client = client();
  event.partition = kPartition;
  event.topic = "orders";
  event.start_offset = Offset(1200);
  event.groups = {{GroupId("billing"), 0.75, Evidence::assignment}};
  auto record = record_of(to_record(event, IdentityMask(Identities::plain, HashKey{})));
  auto stored = golden("reader_record_v1", encode(record));
  auto read = decode_access_record(as_bytes(stored));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, record);
}

TEST(Golden, AGroupRecordOfVersion1) {
  GroupEvent event;
  event.kind = GroupEventKind::sync;
  event.group = GroupId("billing");
  event.generation = Generation(6);
  event.member = MemberId("consumer-1");
  event.client = client();
  event.offsets = {{kPartition, Offset(1200), -1}};
  auto record = record_of(to_record(event, IdentityMask(Identities::plain, HashKey{})));
  auto stored = golden("group_record_v1", encode(record));
  auto read = decode_access_record(as_bytes(stored));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, record);
}

}  // namespace
}  // namespace forelog::prefetch
