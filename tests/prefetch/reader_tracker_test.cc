#include "broker/prefetch/reader_tracker.h"

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

constexpr Instant at(Duration t) { return Instant(t); }
PartitionKey partition(int n = 0) { return {TopicId{{1}}, PartitionId{n}}; }

ClientPtr client(std::int64_t connection, std::string id = "rdkafka") {
  auto out = std::make_shared<ClientInfo>();
  out->connection = ConnectionId{connection};
  out->client_id = std::move(id);
  out->principal = "User:ann";
  out->host = "10.0.0.1";
  return out;
}
AccessEvent read(ClientPtr who, std::int64_t from, std::int64_t to, int of = 0) {
  AccessEvent out;
  out.client = std::move(who);
  out.partition = partition(of);
  out.topic = "orders";
  out.asked = Offset{from};
  if (to > from) out.first = Offset{from}, out.last = Offset{to - 1};
  return out;
}
GroupEvent group_event(GroupEventKind kind, std::string group, ClientPtr who, std::vector<GroupOffset> offsets = {}) {
  GroupEvent out;
  out.kind = kind;
  out.group = GroupId{std::move(group)};
  out.client = std::move(who);
  out.offsets = std::move(offsets);
  return out;
}

class ReaderTrackerTest : public testing::Test {
 protected:
  ReaderTracker tracker{CoreId{2}, 100};
};

TEST_F(ReaderTrackerTest, ReadsInOrderAreOneReader) {
  auto first = tracker.on_access(read(client(1), 0, 100), at(0s));
  ASSERT_TRUE(first.announce);
  EXPECT_EQ(first.announce->start, ReaderStart::first);
  EXPECT_EQ(first.announce->topic, "orders");
  auto second = tracker.on_access(read(client(1), 100, 200), at(1s));
  EXPECT_EQ(second.reader, first.reader);
  EXPECT_FALSE(second.announce);
  EXPECT_FALSE(second.ended);
}

TEST_F(ReaderTrackerTest, WhoStandsBehindIsLikelyToComeByHere) {
  auto ahead = tracker.on_access(read(client(1), 100, 200), at(0s));
  EXPECT_FALSE(tracker.others_behind(partition(), ahead.reader, Offset{100}));
  tracker.on_access(read(client(2), 500, 600), at(0s));
  tracker.on_access(read(client(3), 0, 50, 1), at(0s));
  EXPECT_FALSE(tracker.others_behind(partition(), ahead.reader, Offset{100})) << "further on, or in another partition";
  tracker.on_access(read(client(4), 0, 50), at(0s));
  EXPECT_TRUE(tracker.others_behind(partition(), ahead.reader, Offset{100}));
  tracker.on_disconnect(ConnectionId{4});
  EXPECT_FALSE(tracker.others_behind(partition(), ahead.reader, Offset{100}));
}

TEST_F(ReaderTrackerTest, AJumpIsANewReaderOfTheSameStream) {
  auto before = tracker.on_access(read(client(1), 0, 100), at(0s));
  auto after = tracker.on_access(read(client(1), 5000, 5100), at(1s));
  EXPECT_NE(after.reader, before.reader);
  EXPECT_EQ(after.ended, before.reader);
  EXPECT_EQ(after.stream, before.stream);
  ASSERT_TRUE(after.announce);
  EXPECT_EQ(after.announce->start, ReaderStart::seek);
  EXPECT_EQ(after.announce->start_offset, Offset{5000});
  EXPECT_NE(tracker.on_access(read(client(1), 0, 10), at(2s)).reader, after.reader) << "backwards too";
}

TEST_F(ReaderTrackerTest, AskingAgainIsNoJump) {
  auto first = tracker.on_access(read(client(1), 0, 100), at(0s));
  EXPECT_EQ(tracker.on_access(read(client(1), 0, 100), at(1s)).reader, first.reader);
  EXPECT_EQ(tracker.on_access(read(client(1), 50, 80), at(2s)).reader, first.reader) << "the rest of what it was given";
  EXPECT_EQ(tracker.on_access(read(client(1), 100, 100), at(3s)).reader, first.reader) << "nothing there yet";
  EXPECT_EQ(tracker.on_access(read(client(1), 100, 200), at(4s)).reader, first.reader);
}

TEST_F(ReaderTrackerTest, EachPartitionAndConnectionHasItsOwnReaders) {
  auto a = tracker.on_access(read(client(1), 0, 100, 0), at(0s)).reader;
  auto b = tracker.on_access(read(client(1), 0, 100, 1), at(0s)).reader;
  auto c = tracker.on_access(read(client(2), 100, 200, 0), at(0s)).reader;
  EXPECT_EQ((std::set{a, b, c}).size(), 3U);
  EXPECT_EQ(tracker.on_disconnect(ConnectionId{1}).size(), 2U);
  EXPECT_EQ(tracker.size(), 1U);
  EXPECT_NE(tracker.on_access(read(client(1), 100, 200, 0), at(1s)).reader, a) << "reconnected";
}

TEST_F(ReaderTrackerTest, IsAnnouncedAgainEveryThirtySeconds) {
  tracker.on_access(read(client(1), 0, 100), at(0s));
  EXPECT_FALSE(tracker.on_access(read(client(1), 100, 200), at(29s)).announce);
  auto again = tracker.on_access(read(client(1), 200, 300), at(30s));
  ASSERT_TRUE(again.announce);
  EXPECT_EQ(again.announce->start, ReaderStart::still_open);
  EXPECT_EQ(again.announce->opened, at(0s));
  EXPECT_EQ(again.announce->start_offset, Offset{0});
}

TEST_F(ReaderTrackerTest, TheLeastRecentReaderIsForgottenWhenThereAreTooMany) {
  ReaderTracker two(CoreId{0}, 2);
  auto oldest = two.on_access(read(client(1), 0, 100), at(0s)).reader;
  two.on_access(read(client(2), 0, 100), at(1s));
  two.on_access(read(client(3), 0, 100), at(2s));
  EXPECT_EQ(two.size(), 2U);
  auto forgotten = two.take_forgotten();
  ASSERT_EQ(forgotten.size(), 1U);
  EXPECT_EQ(forgotten[0].reader, oldest);
}

// --- who reads -------------------------------------------------------------------------------------------------------

TEST(GroupEvidence, StemsDropTheNumberOfTheInstance) {
  EXPECT_EQ(client_stem("consumer-billing-3"), "consumer-billing");
  EXPECT_EQ(client_stem("rdkafka"), "rdkafka");
  EXPECT_EQ(client_stem("job-v2"), "job-v2");
  EXPECT_EQ(client_stem("-1"), "-1");
  EXPECT_EQ(client_stem(""), "");
}

TEST(GroupEvidence, JavasClientIdsNameTheGroup) {
  EXPECT_EQ(group_in_client_id("consumer-billing-3"), GroupId{"billing"});
  EXPECT_EQ(group_in_client_id("consumer-my-group-12"), GroupId{"my-group"});
  EXPECT_EQ(group_in_client_id("connector-consumer-sink-0"), GroupId{"connect-sink"});
  EXPECT_EQ(group_in_client_id("app-8f14e45f-ceea-467f-a0e6-1f3d1b2c3d4e-StreamThread-1-consumer"), GroupId{"app"});
  EXPECT_EQ(group_in_client_id("consumer-3"), std::nullopt);
  EXPECT_EQ(group_in_client_id("rdkafka"), std::nullopt);
}

TEST_F(ReaderTrackerTest, AGroupRequestOnTheFetchingConnectionNamesItsGroup) {
  tracker.on_group_event(group_event(GroupEventKind::find_coordinator, "billing", client(1)), at(0s));
  auto seen = tracker.on_access(read(client(1), 0, 100), at(1s));
  ASSERT_EQ(seen.groups->size(), 1U);
  EXPECT_EQ((*seen.groups)[0], (GroupCandidate{GroupId{"billing"}, 0.95, Evidence::coordinator}));
}

TEST_F(ReaderTrackerTest, AnAssignmentToTheSameClientOnAnotherConnectionNamesIt) {
  tracker.on_group_event(group_event(GroupEventKind::sync, "billing", client(7), {{partition(), kNoOffset, -1}}),
                         at(0s));
  auto seen = tracker.on_access(read(client(1), 0, 100), at(1s));
  ASSERT_EQ(seen.groups->size(), 1U);
  EXPECT_EQ((*seen.groups)[0].evidence, Evidence::assignment);
  EXPECT_TRUE(tracker.on_access(read(client(1), 0, 100, 1), at(1s)).groups->empty()) << "not its partition";
  EXPECT_TRUE(tracker.on_access(read(client(2, "other"), 0, 100), at(1s)).groups->empty()) << "not its client";
}

TEST_F(ReaderTrackerTest, BeginningWhereOffsetFetchSaidNamesTheGroup) {
  tracker.on_group_event(
      group_event(GroupEventKind::offset_fetch, "billing", client(7, "elsewhere"), {{partition(), Offset{500}, -1}}),
      at(0s));
  EXPECT_TRUE(tracker.on_access(read(client(1), 400, 450), at(1s)).groups->empty());
  auto seen = tracker.on_access(read(client(1), 500, 600), at(2s));
  ASSERT_EQ(seen.groups->size(), 1U);
  EXPECT_EQ((*seen.groups)[0].evidence, Evidence::first_offset);
}

TEST_F(ReaderTrackerTest, ThreeCommitsThatTrailAReaderNameItsGroup) {
  tracker.on_access(read(client(1), 0, 100), at(0s));
  auto commit = [&](std::int64_t offset) {
    tracker.on_group_event(
        group_event(GroupEventKind::commit, "billing", client(7, "x"), {{partition(), Offset{offset}, -1}}), at(1s));
  };
  commit(50), commit(80), commit(400);
  EXPECT_TRUE(tracker.on_access(read(client(1), 100, 200), at(5s)).groups->empty())
      << "two trail; 400 is ahead of the reader";
  commit(150);
  auto seen = tracker.on_access(read(client(1), 200, 300), at(10s));
  ASSERT_EQ(seen.groups->size(), 1U);
  EXPECT_EQ((*seen.groups)[0].evidence, Evidence::commits);
}

TEST_F(ReaderTrackerTest, TheSurestCandidateComesFirst) {
  tracker.on_group_event(
      group_event(GroupEventKind::sync, "other", client(7, "consumer-billing-1"), {{partition(), kNoOffset, -1}}),
      at(0s));
  auto seen = tracker.on_access(read(client(1, "consumer-billing-1"), 0, 100), at(1s));
  ASSERT_EQ(seen.groups->size(), 2U);
  EXPECT_EQ((*seen.groups)[0].group, GroupId{"billing"});
  EXPECT_GT((*seen.groups)[0].confidence, (*seen.groups)[1].confidence);
}

}  // namespace
}  // namespace forelog::prefetch
