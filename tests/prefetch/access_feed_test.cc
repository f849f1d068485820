#include "broker/prefetch/access_feed.h"

#include "broker/prefetch/access_records.h"

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

class SetClock final : public env::Clock {
 public:
  Instant now() const override { return now_; }
  WallTime wall() const override {
    return from_ms(1'700'000'000'000) + std::chrono::duration_cast<std::chrono::milliseconds>(now_ - Instant{});
  }
  TimerId wake_at(Instant, env::WaiterPtr) override { return 0; }
  void cancel(TimerId) override {}
  void advance(Duration by) { now_ += by; }

 private:
  Instant now_{10s};
};

PartitionKey partition(int n = 0, std::uint8_t topic = 1) { return {TopicId{{topic}}, PartitionId{n}}; }
ClientPtr client(std::string id = "consumer-billing-3") {
  auto out = std::make_shared<ClientInfo>();
  out->connection = ConnectionId{77};
  out->client_id = std::move(id);
  out->principal = "User:ann";
  out->host = "10.0.0.1";
  return out;
}
AccessEvent cold_read(std::int64_t from, std::int64_t to) {
  AccessEvent out;
  out.client = client();
  out.partition = partition();
  out.topic = "orders";
  out.asked = out.first = Offset{from};
  out.last = Offset{to - 1};
  out.bytes.archive = 1000;
  out.wait = 51ms;
  out.wait_cause = WaitCause::archive;
  return out;
}
AccessEvent tail_read(std::int64_t from, std::int64_t to) {
  auto out = cold_read(from, to);
  out.bytes = {};
  if (to == from) out.first = out.last = kNoOffset;
  if (to > from) out.bytes.tail = 10;
  out.wait = 100ms;
  out.wait_cause = WaitCause::data;
  return out;
}
thrift::AccessLogRecord decoded(const AccessLogEntry& entry) {
  auto record = decode_access_record(as_bytes(entry.value));
  EXPECT_TRUE(record.has_value());
  return record ? *record : thrift::AccessLogRecord{};
}

class AccessFeedTest : public testing::Test {
 protected:
  AccessFeed feed_with(AccessLogSettings settings) {
    return AccessFeed(clock, registry, {BrokerId{3}, "10.0.0.9:9192", 42, CoreId{1}, {}}, settings);
  }
  SetClock clock;
  MetricsRegistry registry;
};

TEST_F(AccessFeedTest, AReadIsOneRecordWithAllThatIsKnown) {
  auto feed = feed_with({});
  auto event = cold_read(100, 200);
  event.shard = {partition(), Offset{64}, Generation{2}};
  event.first_block = 3;
  event.last_block = 7;
  event.plan = PlanId{9};
  event.reason = Reason::twin;
  feed.add(ReaderId{5}, event);
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].key, "User:ann/consumer-billing");
  auto record = decoded(entries[0]);
  EXPECT_EQ(record.header.broker_id, 3);
  EXPECT_EQ(record.header.hint_endpoint, "10.0.0.9:9192");
  EXPECT_EQ(record.header.boot_id, 42);
  EXPECT_EQ(record.header.core, 1);
  EXPECT_EQ(record.header.sequence, 1);
  EXPECT_EQ(record.header.monotonic_us, 10'000'000);
  EXPECT_EQ(record.header.wall_ms, 1'700'000'010'000);
  EXPECT_EQ(record.header.format_version, kAccessLogFormat);
  ASSERT_TRUE(record.body.__isset.access);
  const auto& access = record.body.access;
  EXPECT_EQ(access.reader, 5);
  EXPECT_EQ(topic_from_thrift(access.topic_id), partition().topic);
  EXPECT_EQ(access.offset_asked, 100);
  EXPECT_EQ(access.last_offset, 199);
  EXPECT_EQ(access.shard_base, 64);
  EXPECT_EQ(access.shard_generation, 2);
  EXPECT_EQ(access.first_block, 3);
  EXPECT_EQ(access.last_block, 7);
  EXPECT_EQ(access.bytes.archive, 1000);
  EXPECT_EQ(access.wait_us, 51'000);
  EXPECT_EQ(access.wait_cause, thrift::WaitCause::ARCHIVE);
  EXPECT_EQ(access.plan_id, 9);
  EXPECT_EQ(access.reason, thrift::Reason::TWIN);
  EXPECT_EQ(access.fetches, 1);
}

TEST_F(AccessFeedTest, TailReadsAreSummedUpForASecond) {
  auto feed = feed_with({});
  feed.add(ReaderId{5}, tail_read(100, 100));
  feed.add(ReaderId{5}, tail_read(100, 110));
  feed.add(ReaderId{5}, tail_read(110, 130));
  feed.add(ReaderId{6}, tail_read(0, 10));
  EXPECT_TRUE(feed.drain().empty());
  clock.advance(1s);
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 2U);
  auto access = decoded(entries[0]).body.access;
  EXPECT_EQ(access.fetches, 3);
  EXPECT_EQ(access.offset_asked, 100);
  EXPECT_EQ(access.first_offset, 100);
  EXPECT_EQ(access.last_offset, 129);
  EXPECT_EQ(access.bytes.tail, 20);
  EXPECT_EQ(access.wait_us, 300'000);
  EXPECT_EQ(decoded(entries[1]).body.access.reader, 6);
  clock.advance(5s);
  EXPECT_TRUE(feed.drain().empty()) << "once";
}

TEST_F(AccessFeedTest, SumsStandBeforeWhatCameAfterThem) {
  auto feed = feed_with({});
  feed.add(ReaderId{5}, tail_read(100, 110));
  feed.add(ReaderId{5}, cold_read(0, 10));
  feed.add(ReaderId{5}, tail_read(200, 210));
  feed.close(ReaderId{5});
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(decoded(entries[0]).body.access.offset_asked, 100);
  EXPECT_EQ(decoded(entries[1]).body.access.offset_asked, 0);
  EXPECT_EQ(decoded(entries[2]).body.access.offset_asked, 200);
}

TEST_F(AccessFeedTest, AFullRingDropsCountsAndLeavesAGapInTheSequence) {
  AccessLogSettings settings;
  settings.events_max = 2;
  auto feed = feed_with(settings);
  for (int i = 0; i < 5; ++i) feed.add(ReaderId{5}, cold_read(i, i + 1));
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(feed.metrics().dropped.value(), 3);
  feed.add(ReaderId{5}, cold_read(9, 10));
  EXPECT_EQ(decoded(feed.drain()[0]).header.sequence, 6) << "3, 4 and 5 were dropped";
}

TEST_F(AccessFeedTest, ItsOwnReadersAreNotRecorded) {
  auto feed = feed_with({});
  auto event = cold_read(0, 10);
  event.partition = partition(0, 9);
  event.topic = kAccessLogTopic;
  feed.add(ReaderId{5}, event);
  GroupEvent commit;
  commit.kind = GroupEventKind::commit;
  commit.group = GroupId{"predictor"};
  commit.client = client();
  commit.offsets = {{partition(0, 9), Offset{1}, -1}};
  feed.add(commit);
  commit.offsets.clear();  // whoever made the event has left the access log out already
  feed.add(commit);
  EXPECT_TRUE(feed.drain().empty());
  commit.offsets = {{partition(0, 9), Offset{1}, -1}};
  commit.offsets.push_back({partition(), Offset{1}, -1});
  feed.add(commit);
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(decoded(entries[0]).body.group.offsets.size(), 1U) << "only the other topic's";
}

TEST_F(AccessFeedTest, SwitchedOffItRecordsNothing) {
  AccessLogSettings settings;
  settings.enable = false;
  auto feed = feed_with(settings);
  feed.add(ReaderId{5}, cold_read(0, 10));
  feed.add(OutcomeEvent{});
  clock.advance(2s);
  EXPECT_TRUE(feed.drain().empty());
}

TEST_F(AccessFeedTest, HashedIdentitiesTellWhoIsTheSameButNotWho) {
  AccessLogSettings settings;
  settings.identities = Identities::hashed;
  auto feed = feed_with(settings);
  auto announce = [&](const std::string& client_id) {
    ReaderEvent event;
    event.client = client(client_id);
    event.partition = partition();
    event.groups = {{GroupId{"billing"}, 0.9, Evidence::client_id}};
    feed.add(event);
  };
  announce("consumer-billing-3"), announce("consumer-billing-4"), announce("other-4");
  auto entries = feed.drain();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].key, entries[1].key);
  EXPECT_NE(entries[0].key, entries[2].key);
  auto reader = decoded(entries[0]).body.reader;
  EXPECT_TRUE(reader.client_id.ends_with("-3"));
  for (const auto& secret : {"billing", "ann", "10.0.0.1"})
    EXPECT_EQ(entries[0].value.find(secret), std::string::npos) << secret;
  EXPECT_EQ(reader.groups[0].group.size(), 16U);
}

TEST(IdentityMask, SiphashIsSiphash) {
  HashKey key;
  std::string input;
  for (std::uint8_t i = 0; i < 16; ++i) key[i] = i;
  EXPECT_EQ(siphash(key, as_bytes(input)), 0x726fdb47dd0e0e31ULL);  // from the authors' vectors
  for (char c = 0; c < 15; ++c) input.push_back(c);
  EXPECT_EQ(siphash(key, as_bytes(input)), 0xa129ca6149be45e5ULL);
}

TEST(AccessRecords, BytesThatAreNoRecordAreMalformed) {
  EXPECT_FALSE(decode_access_record(as_bytes("")));
  EXPECT_FALSE(decode_access_record(as_bytes("\xff\xff\xff\xff\xff\xff\xff")));
  thrift::AccessLogRecord record;
  record.body.__set_reader({});
  record.body.reader.client_id = std::string(100, 'x');
  auto bytes = encode(record);
  ASSERT_TRUE(decode_access_record(as_bytes(bytes)));
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(decode_access_record(as_bytes(bytes.substr(0, cut)))) << cut;
}

}  // namespace
}  // namespace forelog::prefetch
