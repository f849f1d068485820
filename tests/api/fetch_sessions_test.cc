// Trap 8 of fetch sessions: what a client may say, what a broker must remember, and what it must forget.

#include "broker/api/fetch_sessions.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::api {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr wire::Version kByName = 12;
constexpr wire::Version kById = 13;

TopicId id_of(const std::string& topic) {
  TopicId id;
  for (std::size_t i = 0; i < topic.size() && i < id.bytes.size(); ++i)
    id.bytes[i] = static_cast<std::uint8_t>(topic[i]);
  return id;
}

struct Wanted {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int32_t leader_epoch = -1;
};

// A client with one session, that says what the test lets it say; and a broker that has `data` at each partition.
class Client {
 public:
  explicit Client(FetchSessions& sessions, wire::Version version = kById) : sessions_(sessions), version_(version) {}

  wire::FetchRequest request(std::vector<Wanted> partitions, std::vector<Wanted> forgotten = {}) const {
    wire::FetchRequest request;
    request.session_id = id;
    request.session_epoch = epoch;
    for (const auto& wanted : partitions) {
      wire::FetchRequest::Topic topic;
      name(topic, wanted.topic);
      wire::FetchRequest::Partition partition;
      partition.partition = PartitionId(wanted.partition);
      partition.fetch_offset = Offset(wanted.offset);
      partition.current_leader_epoch = Epoch(wanted.leader_epoch);
      partition.partition_max_bytes = 1000;
      topic.partitions.push_back(partition);
      request.topics.push_back(std::move(topic));
    }
    for (const auto& gone : forgotten) {
      wire::FetchRequest::ForgottenTopic topic;
      name(topic, gone.topic);
      topic.partitions.push_back(PartitionId(gone.partition));
      request.forgotten_topics_data.push_back(std::move(topic));
    }
    return request;
  }

  FetchSessions::Begun begin(std::vector<Wanted> partitions = {}, std::vector<Wanted> forgotten = {}) {
    auto begun = sessions_.begin(request(std::move(partitions), std::move(forgotten)), version_, now);
    if (!begun.error.ok()) return begun;
    if (epoch == 0) id = begun.session_id;
    if (id != 0) epoch = epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;
    return begun;
  }

  // Fetches; partition p of a topic answers with what `answer` makes of it. The partitions that the response lists.
  template <class Answer>
  std::vector<std::int32_t> fetch(std::vector<Wanted> partitions, Answer&& answer) {
    auto begun = begin(std::move(partitions));
    std::vector<wire::FetchResponse::Partition> answers;
    for (const auto& wanted : begun.partitions) {
      wire::FetchResponse::Partition out;
      out.partition_index = wanted.partition;
      out.high_watermark = Offset(10);
      out.log_start_offset = Offset(0);
      answer(out);
      answers.push_back(std::move(out));
    }
    auto wanted = begun.partitions;
    auto response = sessions_.finish(begun, std::move(wanted), std::move(answers));
    EXPECT_EQ(response.session_id, id);
    std::vector<std::int32_t> listed;
    for (const auto& topic : response.responses) {
      for (const auto& partition : topic.partitions) listed.push_back(partition.partition_index.value());
    }
    return listed;
  }

  std::int32_t id = 0;
  std::int32_t epoch = 0;
  Instant now{1h};

 private:
  template <class Topic>
  void name(Topic& topic, const std::string& text) const {
    if (version_ >= kById) {
      topic.topic_id = id_of(text);
    } else {
      topic.topic = TopicName(text);
    }
  }

  FetchSessions& sessions_;
  wire::Version version_;
};

auto nothing_new = [](wire::FetchResponse::Partition&) {};
void give_data(wire::FetchResponse::Partition& out) {
  out.records = wire::Records(Slices{Buffer::copy_of(std::string_view("batch"))});
}

std::vector<std::int32_t> partitions_of(const FetchSessions::Begun& begun) {
  std::vector<std::int32_t> out;
  for (const auto& partition : begun.partitions) out.push_back(partition.partition.value());
  return out;
}

class FetchSessionsTest : public ::testing::Test {
 protected:
  FetchSessions sessions{2, 1, 1};
};

TEST_F(FetchSessionsTest, AFullFetchOpensASessionAndAnswersEveryPartition) {
  Client client(sessions);
  EXPECT_THAT(client.fetch({{"a", 0}, {"a", 1}}, nothing_new), ElementsAre(0, 1));
  EXPECT_NE(client.id, 0);
  EXPECT_EQ(sessions.size(), 1u);
}

TEST_F(FetchSessionsTest, AnIncrementalFetchReadsAllButListsOnlyNews) {
  Client client(sessions);
  client.fetch({{"a", 0, 5}, {"a", 1, 7}}, nothing_new);
  EXPECT_THAT(client.fetch({}, nothing_new), IsEmpty());
  EXPECT_THAT(client.fetch({},
                           [](auto& out) {
                             if (out.partition_index == PartitionId(1)) give_data(out);
                           }),
              ElementsAre(1));
  EXPECT_THAT(client.fetch({},
                           [](auto& out) {
                             if (out.partition_index == PartitionId(0)) out.high_watermark = Offset(11);
                           }),
              ElementsAre(0));
  EXPECT_THAT(client.fetch({},
                           [](auto& out) {
                             out.high_watermark = Offset(out.partition_index == PartitionId(0) ? 11 : 10);
                             if (out.partition_index == PartitionId(1)) out.log_start_offset = Offset(3);
                           }),
              ElementsAre(1));
}

TEST_F(FetchSessionsTest, ASeekReplacesOffsetAndLeaderEpoch) {
  Client client(sessions);
  client.begin({{"a", 0, 5, 1}, {"a", 1, 7, 1}});
  auto begun = client.begin({{"a", 0, 100, 2}});
  ASSERT_EQ(begun.partitions.size(), 2u);
  EXPECT_EQ(begun.partitions[0].fetch_offset, Offset(100));
  EXPECT_EQ(begun.partitions[0].leader_epoch, Epoch(2));
  EXPECT_EQ(begun.partitions[1].fetch_offset, Offset(7));
  EXPECT_EQ(begun.partitions[1].leader_epoch, Epoch(1)) << "what is not said again is remembered, epochs too";
}

TEST_F(FetchSessionsTest, AForgottenPartitionIsNotReadAgainUntilItIsNamed) {
  Client client(sessions);
  client.begin({{"a", 0}, {"a", 1}, {"b", 0}});
  EXPECT_THAT(partitions_of(client.begin({}, {{"a", 0}})), ElementsAre(1, 0)) << "b-0 is another partition";
  EXPECT_THAT(partitions_of(client.begin({{"a", 0, 3}})), ElementsAre(1, 0, 0));
  EXPECT_THAT(partitions_of(client.begin({}, {{"nobody", 9}})), ElementsAre(1, 0, 0));
}

TEST_F(FetchSessionsTest, ForgettingAndAddingWorkByNameToo) {
  Client client(sessions, kByName);
  client.begin({{"a", 0}, {"b", 0}});
  auto begun = client.begin({{"c", 4}}, {{"a", 0}});
  ASSERT_EQ(begun.partitions.size(), 2u);
  EXPECT_EQ(begun.partitions[0].topic, TopicName("b"));
  EXPECT_EQ(begun.partitions[1].topic, TopicName("c"));
}

TEST_F(FetchSessionsTest, APartitionNamedTwiceIsOne) {
  Client client(sessions);
  client.begin({{"a", 0, 1}, {"a", 0, 2}});
  auto begun = client.begin();
  ASSERT_EQ(begun.partitions.size(), 1u);
  EXPECT_EQ(begun.partitions[0].fetch_offset, Offset(2));
}

TEST_F(FetchSessionsTest, AfterAnErrorTheWatermarkIsSentAgain) {
  Client client(sessions);
  client.fetch({{"a", 0}}, nothing_new);
  EXPECT_THAT(client.fetch({}, [](auto& out) { out.error_code = ErrorCode::kNotLeader; }), ElementsAre(0));
  EXPECT_THAT(client.fetch({}, nothing_new), ElementsAre(0)) << "the same watermark as before the error";
  EXPECT_THAT(client.fetch({}, nothing_new), IsEmpty());
}

TEST_F(FetchSessionsTest, WhoGotDataGoesToTheEndOfTheLine) {
  Client client(sessions);
  client.fetch({{"a", 0}, {"a", 1}, {"a", 2}}, [](auto& out) {
    if (out.partition_index != PartitionId(2)) give_data(out);
  });
  EXPECT_THAT(partitions_of(client.begin()), ElementsAre(2, 0, 1));
}

TEST_F(FetchSessionsTest, AnUnknownSessionIsSaid) {
  Client client(sessions);
  client.id = 77;
  client.epoch = 1;
  EXPECT_EQ(client.begin({{"a", 0}}).error, wire::WireError(ErrorCode::kFetchSessionIdNotFound));
}

TEST_F(FetchSessionsTest, AWrongEpochIsSaidAndTheSessionLivesOn) {
  Client client(sessions);
  client.begin({{"a", 0}});
  client.epoch = 2;
  EXPECT_EQ(client.begin().error, wire::WireError(ErrorCode::kInvalidFetchSessionEpoch));
  client.epoch = 1;
  EXPECT_TRUE(client.begin().error.ok());
}

TEST_F(FetchSessionsTest, NamesAndIdsAreNotMixedInOneSession) {
  Client by_name(sessions, kByName);
  by_name.begin({{"a", 0}});
  Client by_id(sessions, kById);
  by_id.id = by_name.id;
  by_id.epoch = by_name.epoch;
  EXPECT_EQ(by_id.begin().error, wire::WireError(ErrorCode::kFetchSessionTopicIdError));
}

TEST_F(FetchSessionsTest, TheFinalEpochEndsTheSessionAndReadsWithoutOne) {
  Client client(sessions);
  client.begin({{"a", 0}});
  client.epoch = -1;
  auto begun = client.begin({{"a", 5}});
  EXPECT_EQ(begun.session_id, 0);
  EXPECT_FALSE(begun.incremental);
  EXPECT_THAT(partitions_of(begun), ElementsAre(5));
  EXPECT_EQ(sessions.size(), 0u);
}

TEST_F(FetchSessionsTest, AReconnectingClientTakesItsOldSlotWithIt) {
  Client client(sessions);
  client.begin({{"a", 0}});
  auto old = client.id;
  client.epoch = 0;  // a full fetch that names the session it gives up
  client.begin({{"a", 0}});
  EXPECT_NE(client.id, old);
  EXPECT_EQ(sessions.size(), 1u);
}

TEST_F(FetchSessionsTest, FullSlotsServeTheNextClientWithoutASession) {
  Client first(sessions), second(sessions), third(sessions);
  first.begin({{"a", 0}});
  second.begin({{"a", 0}});
  EXPECT_THAT(third.fetch({{"a", 0}}, nothing_new), ElementsAre(0));
  EXPECT_EQ(third.id, 0);
  EXPECT_TRUE(first.begin().error.ok());
  EXPECT_TRUE(second.begin().error.ok());
}

TEST_F(FetchSessionsTest, ASmallerSessionMakesWayForALargerOne) {
  Client small(sessions), large(sessions), larger(sessions);
  small.begin({{"a", 0}});
  large.begin({{"a", 0}, {"a", 1}, {"a", 2}});
  larger.begin({{"a", 0}, {"a", 1}});
  EXPECT_NE(larger.id, 0);
  EXPECT_TRUE(large.begin().error.ok());
  EXPECT_EQ(small.begin().error, wire::WireError(ErrorCode::kFetchSessionIdNotFound));
}

TEST_F(FetchSessionsTest, AClientThatNeverComesBackLosesItsSlotAfterTwoMinutes) {
  Client gone(sessions), busy(sessions), next(sessions);
  gone.begin({{"a", 0}, {"a", 1}});
  busy.begin({{"a", 0}});
  busy.now += 3min;
  busy.begin();
  next.now = busy.now;
  next.begin({{"a", 0}});
  EXPECT_NE(next.id, 0);
  EXPECT_TRUE(busy.begin().error.ok());
  EXPECT_EQ(gone.begin().error, wire::WireError(ErrorCode::kFetchSessionIdNotFound));
}

TEST_F(FetchSessionsTest, ASessionEvictedDuringTheFetchIsLearntWithTheNext) {
  FetchSessions one(1, 1, 1);
  Client client(one);
  auto begun = client.begin({{"a", 0}});
  Client other(one);
  other.begin({{"a", 0}, {"a", 1}});
  auto response = one.finish(begun, begun.partitions, {wire::FetchResponse::Partition{}});
  EXPECT_EQ(response.responses.size(), 1u);
  EXPECT_EQ(client.begin().error, wire::WireError(ErrorCode::kFetchSessionIdNotFound));
}

TEST_F(FetchSessionsTest, AnIncrementalFetchWhoseSessionWasEvictedLeavesNothingOut) {
  FetchSessions one(1, 1, 1);
  Client client(one);
  client.begin({{"a", 0}});
  auto begun = client.begin({{"a", 1}});  // whose high watermark it has never been told
  ASSERT_TRUE(begun.incremental);
  Client other(one);
  other.begin({{"a", 0}, {"a", 1}, {"a", 2}});
  auto response = one.finish(begun, begun.partitions, std::vector<wire::FetchResponse::Partition>(2));
  EXPECT_EQ(response.responses.at(0).partitions.size(), 2u);
}

TEST_F(FetchSessionsTest, WhatAllSessionsRememberIsBounded) {
  FetchSessions few(10, 1, 1, 5);
  Client first(few), second(few);
  first.begin({{"a", 0}, {"a", 1}, {"a", 2}});
  second.begin({{"b", 0}, {"b", 1}, {"b", 2}});
  EXPECT_NE(first.id, 0);
  EXPECT_EQ(second.id, 0) << "it reads without a session";
  EXPECT_TRUE(first.begin({{"a", 3}, {"a", 4}}).error.ok());
  EXPECT_TRUE(first.begin({{"a", 3, 50}}).error.ok()) << "a seek remembers nothing more";
  EXPECT_EQ(first.begin({{"a", 5}}).error, wire::WireError(ErrorCode::kFetchSessionIdNotFound));
  EXPECT_EQ(few.size(), 0u);
}

TEST_F(FetchSessionsTest, NobodyMakesWayForWhoGetsNoSession) {
  FetchSessions one(1, 1, 1, 3);
  Client small(one), too_large(one);
  small.begin({{"a", 0}});
  too_large.begin({{"b", 0}, {"b", 1}, {"b", 2}, {"b", 3}});
  EXPECT_EQ(too_large.id, 0);
  EXPECT_TRUE(small.begin().error.ok());
}

TEST_F(FetchSessionsTest, WithoutSlotsEveryFetchIsAFullOne) {
  FetchSessions none(0, 1, 1);
  Client client(none);
  EXPECT_THAT(client.fetch({{"a", 0}}, nothing_new), ElementsAre(0));
  EXPECT_EQ(client.id, 0);
}

TEST_F(FetchSessionsTest, CoresNeverHandOutTheSameId) {
  FetchSessions of_core_0(4, 1, 2), of_core_1(4, 2, 2);
  for (int i = 0; i < 3; ++i) {
    Client even(of_core_0), odd(of_core_1);
    even.begin({{"a", 0}});
    odd.begin({{"a", 0}});
    EXPECT_EQ(even.id % 2, 1);
    EXPECT_EQ(odd.id % 2, 0);
  }
}

TEST_F(FetchSessionsTest, IdsStartAnewWithoutLeavingTheirCore) {
  constexpr auto kLast = std::numeric_limits<std::int32_t>::max();
  FetchSessions of_core_0(4, kLast - 1, 2);
  Client first(of_core_0), second(of_core_0);
  first.begin({{"a", 0}});
  second.begin({{"a", 0}});
  EXPECT_EQ(first.id, kLast - 1);
  EXPECT_GT(second.id, 0);
  EXPECT_EQ(second.id % 2, (kLast - 1) % 2);
}

}  // namespace
}  // namespace forelog::api
