// What a whole broker answers to requests that name a thing twice, or something that is not theirs to change.
#include "broker/broker.h"
#include "broker/env/task_group.h"
#include "broker/log/batch_builder.h"
#include "broker/wire/messages.h"
#include "tests/simulation/lone_broker.h"
#include "tests/simulation/wire_client.h"
#include "tests/support/run_task.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

constexpr std::int16_t kNothing = 0, kInvalidTopic = 17, kInvalidRequest = 42, kUnknownTopicId = 100;
constexpr std::int8_t kTopicResource = 2;
const TopicName kAccessLog("__access_log");

template <class Request>
Task<typename Request::Response> ask(env::Env& env, Request request, int version, std::string client_id = "test") {
  WireClient client(env, std::move(client_id));
  auto deadline = env.clock.now() + 30s;
  EXPECT_TRUE((co_await client.open({"m0", 9092}, deadline)).has_value());
  auto answer = co_await client.call(std::move(request), static_cast<wire::Version>(version), deadline);
  EXPECT_TRUE(answer.has_value()) << (answer ? "" : answer.error().text());
  co_return answer ? *std::move(answer) : typename Request::Response{};
}

template <class Request>
Task<void> ask_later(env::Env& env, Duration pause, Request request, int version, typename Request::Response& answer) {
  co_await sleep_until(env.clock, env.clock.now() + pause);
  answer = co_await ask(env, std::move(request), version);
}

Task<void> together(env::Env& env, std::vector<Task<void>> tasks) {
  TaskGroup group(env.cores);
  for (auto& task : tasks) group.spawn(std::move(task));
  co_await group.join();
}

AllSettings settings() {
  auto out = lone_broker_settings();
  out.access_log.enable = true;
  return out;
}

Task<void> start(std::unique_ptr<Broker>& broker, env::Env& env, AllSettings set = settings()) {
  broker = std::make_unique<Broker>(env, std::move(set));
  auto started = co_await broker->start();
  EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().text());
}

class RequestRules : public testing::Test {
 protected:
  RequestRules() : world(11), machine(world.machine(1)), clients(world.machine(1)) {
    test::run(world, machine, start(broker, machine.env()));
  }
  ~RequestRules() override { test::run(world, machine, broker->stop()); }

  template <class Request>
  typename Request::Response say(Request request, int version, std::string client_id = "test") {
    return test::run(world, clients, ask(clients.env(), std::move(request), version, std::move(client_id)));
  }
  TopicId create(const std::string& name, int partitions = 1, std::map<std::string, std::string> configs = {}) {
    wire::CreateTopicsRequest request;
    request.topics.push_back({TopicName(name), partitions, 1, {}, {}});
    for (auto& [key, value] : configs) request.topics.back().configs.push_back({key, value});
    auto answer = say(std::move(request), 7);
    EXPECT_EQ(answer.topics.at(0).error_code.code, kNothing);
    return answer.topics.at(0).topic_id;
  }
  std::int16_t produce(const TopicName& topic, const std::string& client_id = "test", std::int16_t acks = -1,
                       std::int32_t timeout_ms = 10000) {
    wire::ProduceRequest request;
    request.acks = acks;
    request.timeout_ms = timeout_ms;
    log::BatchBuilder batch;
    batch.add(1'000'000, "key", "value");
    request.topic_data.push_back({topic, {{PartitionId(0), wire::Records(std::move(batch).build())}}});
    return say(std::move(request), 9, client_id).responses.at(0).partition_responses.at(0).error_code.code;
  }
  wire::MetadataResponse metadata(std::vector<TopicName> names) {
    wire::MetadataRequest request;
    request.allow_auto_topic_creation = false;
    request.topics.emplace();
    for (auto& name : names) request.topics->push_back({{}, std::move(name)});
    return say(std::move(request), 12);
  }
  std::int16_t error_of(const TopicName& topic) { return metadata({topic}).topics.at(0).error_code.code; }
  std::int64_t end_of(const TopicName& topic, int partitions) {
    wire::ListOffsetsRequest request;
    request.topics.push_back({topic, {}});
    for (int i = 0; i < partitions; ++i) request.topics[0].partitions.push_back({PartitionId(i), kNoEpoch, -1});
    std::int64_t sum = 0;
    for (const auto& each : say(std::move(request), 7).topics.at(0).partitions) sum += each.offset.value();
    return sum;
  }
  std::vector<std::int16_t> delete_topics(std::vector<wire::DeleteTopicsRequest::Topic> topics) {
    wire::DeleteTopicsRequest request;
    request.topics = std::move(topics);
    request.timeout_ms = 10000;
    std::vector<std::int16_t> out;
    for (const auto& each : say(std::move(request), 6).responses) out.push_back(each.error_code.code);
    return out;
  }

  env::SimulatedWorld world;
  env::SimulatedMachine& machine;
  env::SimulatedMachine& clients;
  std::unique_ptr<Broker> broker;
};

TEST_F(RequestRules, TheAccessLogIsWrittenByTheBrokerAlone) {
  EXPECT_TRUE(metadata({kAccessLog}).topics.at(0).is_internal);
  auto before = end_of(kAccessLog, 4);
  EXPECT_EQ(produce(kAccessLog), kInvalidTopic);
  EXPECT_EQ(produce(kAccessLog, "__admin_client"), kInvalidTopic) << "anybody can call himself so";
  EXPECT_EQ(end_of(kAccessLog, 4), before);

  create("orders");
  EXPECT_EQ(produce(TopicName("orders")), kNothing);
  wire::ListOffsetsRequest by_time;
  by_time.topics.push_back({TopicName("orders"), {{PartitionId(0), kNoEpoch, 1'000'000}}});
  EXPECT_EQ(say(std::move(by_time), 7).topics.at(0).partitions.at(0).offset, Offset(0));
  world.run_for(1s);
  EXPECT_GT(end_of(kAccessLog, 4), before) << "the broker goes on writing what it sees";

  wire::DeleteRecordsRequest cut;
  cut.timeout_ms = 10000;
  cut.topics.push_back({kAccessLog, {{PartitionId(0), Offset(-1)}}});
  EXPECT_EQ(say(std::move(cut), 2).topics.at(0).partitions.at(0).error_code.code, kInvalidTopic);
}

TEST_F(RequestRules, AnAccessLogThatWasDeletedComesBackWithItsOwnSettings) {
  EXPECT_EQ(delete_topics({{kAccessLog, {}}}), std::vector<std::int16_t>{kNothing});
  wire::MetadataRequest request;
  request.topics.emplace().push_back({{}, kAccessLog});
  EXPECT_EQ(say(std::move(request), 12).topics.at(0).partitions.size(), 4U);

  EXPECT_EQ(delete_topics({{kAccessLog, {}}}), std::vector<std::int16_t>{kNothing});
  create("orders", 1, {{"retention.ms", "-1"}});
  EXPECT_EQ(produce(TopicName("orders")), kNothing);
  world.run_for(1min);
  for (int i = 0; i < 2; ++i) {  // the first is lost, and brings the topic back
    wire::ListOffsetsRequest by_time;
    by_time.topics.push_back({TopicName("orders"), {{PartitionId(0), kNoEpoch, 1'000'000}}});
    EXPECT_EQ(say(std::move(by_time), 7).topics.at(0).partitions.at(0).offset, Offset(0));
    world.run_for(1s);
  }
  EXPECT_GT(end_of(kAccessLog, 4), 0);
}

TEST_F(RequestRules, APartitionNamedTwiceHasNoOffsets) {
  create("orders", 2);
  wire::ListOffsetsRequest request;
  request.topics.push_back({TopicName("orders"), {{PartitionId(0), kNoEpoch, -1}, {PartitionId(1), kNoEpoch, -1}}});
  request.topics.push_back({TopicName("orders"), {{PartitionId(0), kNoEpoch, -2}}});
  auto answer = say(std::move(request), 7);
  const auto& both = answer.topics.at(0).partitions;
  EXPECT_EQ(both.at(0).error_code.code, kInvalidRequest);
  EXPECT_EQ(both.at(0).offset, kNoOffset);
  EXPECT_EQ(both.at(1).error_code.code, kNothing);
  EXPECT_EQ(answer.topics.at(1).partitions.at(0).error_code.code, kInvalidRequest);
}

// As Kafka, which makes a map of the request: the last word on a partition counts.
TEST_F(RequestRules, RecordsOfAPartitionNamedTwiceAreDeletedUpToTheLastNamedOffset) {
  create("records");
  const TopicName topic("records");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(produce(topic), kNothing);
  wire::DeleteRecordsRequest request;
  request.timeout_ms = 10000;
  request.topics.push_back(
      {topic, {{PartitionId(0), Offset(4)}, {PartitionId(1), Offset(0)}, {PartitionId(0), Offset(3)}}});
  request.topics.push_back({topic, {{PartitionId(0), Offset(2)}}});
  auto answer = say(std::move(request), 2);
  ASSERT_EQ(answer.topics.size(), 1U);
  ASSERT_EQ(answer.topics[0].partitions.size(), 2U);
  EXPECT_EQ(answer.topics[0].partitions[0].partition_index, PartitionId(0));
  EXPECT_EQ(answer.topics[0].partitions[0].low_watermark, Offset(2));
  EXPECT_EQ(answer.topics[0].partitions[1].partition_index, PartitionId(1));
}

TEST_F(RequestRules, ATopicNamedTwiceOrUnclearlyIsNotDeleted) {
  auto id = create("twice");
  auto once = create("once");
  const TopicName twice("twice");
  EXPECT_EQ(delete_topics({{twice, {}}, {twice, {}}}), std::vector<std::int16_t>(2, kInvalidRequest));
  EXPECT_EQ(delete_topics({{{}, id}, {{}, id}}), std::vector<std::int16_t>(2, kInvalidRequest));
  EXPECT_EQ(delete_topics({{twice, {}}, {{}, once}, {{}, id}}),
            (std::vector<std::int16_t>{kInvalidRequest, kNothing, kInvalidRequest}));
  EXPECT_EQ(delete_topics({{twice, id}, {{}, {}}}), std::vector<std::int16_t>(2, kInvalidRequest));
  EXPECT_EQ(error_of(twice), kNothing);
  EXPECT_EQ(delete_topics({{{}, id}}), std::vector<std::int16_t>{kNothing});
  EXPECT_EQ(delete_topics({{{}, id}}), std::vector<std::int16_t>{kUnknownTopicId});
}

// Deleted by its id while somebody else deletes it by its name, and makes another of that name.
TEST_F(RequestRules, ATopicDeletedByItsIdIsNotAnotherThatWasMadeUnderItsName) {
  auto id = create("orders");
  const TopicName orders("orders");
  wire::DeleteTopicsRequest by_name, by_id;
  by_name.topics.push_back({orders, {}});
  by_id.topics.push_back({{}, id});
  by_name.timeout_ms = by_id.timeout_ms = 10000;
  wire::CreateTopicsRequest again;
  again.topics.push_back({orders, 1, 1, {}, {}});
  wire::DeleteTopicsResponse deleted_by_name, deleted_by_id;
  wire::CreateTopicsResponse created;
  auto& env = clients.env();
  std::vector<Task<void>> tasks;
  tasks.push_back(ask_later(env, 0ms, std::move(by_name), 6, deleted_by_name));
  tasks.push_back(ask_later(env, 2ms, std::move(again), 7, created));
  tasks.push_back(ask_later(env, 4ms, std::move(by_id), 6, deleted_by_id));
  test::run(world, clients, together(env, std::move(tasks)));
  EXPECT_EQ(deleted_by_name.responses.at(0).error_code.code, kNothing);
  ASSERT_EQ(created.topics.at(0).error_code.code, kNothing);
  EXPECT_EQ(deleted_by_id.responses.at(0).error_code.code, kUnknownTopicId);
  EXPECT_EQ(error_of(orders), kNothing);
}

TEST_F(RequestRules, AResourceOrKeyNamedTwiceIsNotChanged) {
  create("orders");
  create("other");
  wire::IncrementalAlterConfigsRequest change;
  for (auto name : {"orders", "other", "orders"})
    change.resources.push_back({kTopicResource, name, {{"retention.ms", 0, "5000"}}});
  auto changed = say(std::move(change), 1);
  EXPECT_EQ(changed.responses.at(0).error_code.code, kInvalidRequest);
  EXPECT_EQ(changed.responses.at(1).error_code.code, kNothing);
  EXPECT_EQ(changed.responses.at(2).error_code.code, kInvalidRequest);

  using Resource = wire::AlterConfigsRequest::Resource;
  auto replaced = [&](std::vector<Resource> resources) {
    wire::AlterConfigsRequest request;
    request.resources = std::move(resources);
    return say(std::move(request), 2).responses.at(0).error_code.code;
  };
  Resource plain{kTopicResource, "orders", {{"retention.ms", "5000"}}};
  EXPECT_EQ(replaced({plain, plain}), kInvalidRequest);
  EXPECT_EQ(replaced({{kTopicResource, "orders", {{"retention.ms", "1"}, {"retention.ms", "2"}}}}), kInvalidRequest);
  EXPECT_EQ(replaced({{kTopicResource, "orders", {{"retention.ms", std::nullopt}}}}), kInvalidRequest);
  EXPECT_EQ(replaced({plain}), kNothing);
}

TEST_F(RequestRules, AGroupNamedTwiceIsToldAndDeletedOnce) {
  create("orders");
  wire::FindCoordinatorRequest find;
  find.coordinator_keys = {"readers"};
  EXPECT_EQ(say(std::move(find), 4).coordinators.at(0).error_code.code, kNothing);
  wire::OffsetCommitRequest commit;
  commit.group_id = GroupId("readers");
  commit.topics.push_back({TopicName("orders"), {{PartitionId(0), Offset(3), kNoEpoch, ""}}});
  world.run_for(1s);  // until the group's partition is led
  EXPECT_EQ(say(std::move(commit), 8).topics.at(0).partitions.at(0).error_code.code, kNothing);

  wire::OffsetFetchRequest fetch;
  fetch.groups.resize(3);
  for (auto& group : fetch.groups) group.group_id = GroupId("readers");
  auto fetched = say(std::move(fetch), 8);
  ASSERT_EQ(fetched.groups.size(), 1U) << "all of a group's offsets are told once";
  EXPECT_EQ(fetched.groups.at(0).topics.at(0).partitions.at(0).committed_offset, Offset(3));

  wire::JoinGroupRequest join;
  join.group_id = GroupId("readers");
  join.session_timeout_ms = join.rebalance_timeout_ms = 10000;
  join.protocol_type = "consumer";
  join.protocols.push_back({"range", {}});
  EXPECT_EQ(say(std::move(join), 3).error_code.code, kNothing);
  wire::DescribeGroupsRequest describe;
  describe.groups.resize(3, GroupId("readers"));
  auto described = say(std::move(describe), 5);
  ASSERT_EQ(described.groups.size(), 1U) << "with its members";
  EXPECT_EQ(described.groups.at(0).members.size(), 1U);
  world.run_for(1min);  // until it has lost its member

  wire::DeleteGroupsRequest remove;
  remove.groups_names = {GroupId("readers"), GroupId("readers")};
  auto removed = say(std::move(remove), 2);
  ASSERT_EQ(removed.results.size(), 1U);
  EXPECT_EQ(removed.results.at(0).error_code.code, kNothing);
}

Task<void> join_and_go(env::Env& env) {
  WireClient client(env, "impatient");
  auto deadline = env.clock.now() + 30s;
  EXPECT_TRUE((co_await client.open({"m0", 9092}, deadline)).has_value());
  wire::JoinGroupRequest join;
  join.group_id = GroupId("readers");
  join.session_timeout_ms = join.rebalance_timeout_ms = 300'000;
  join.protocol_type = "consumer";
  join.protocols.push_back({"range", {}});
  EXPECT_TRUE((co_await client.send(std::move(join), 3, deadline)).has_value());
  co_await sleep_until(env.clock, env.clock.now() + 20ms);
}

// A consumer that is restarted in the middle of a rebalance leaves a join behind, which waits for the other members.
TEST_F(RequestRules, AConnectionThatIsGoneTakesNobodysPlaceWhileItsRequestsEnd) {
  wire::FindCoordinatorRequest find;
  find.coordinator_keys = {"readers"};
  EXPECT_EQ(say(std::move(find), 4).coordinators.at(0).error_code.code, kNothing);
  test::run(world, machine, broker->stop());
  auto one_each = settings();
  one_each.service.connections_per_ip_max = 1;
  test::run(world, machine, start(broker, machine.env(), std::move(one_each)));
  world.run_for(1s);
  test::run(world, clients, join_and_go(clients.env()));
  world.run_for(100ms);
  EXPECT_EQ(metadata({}).brokers.size(), 1U) << "the group still waits for members";
}

TEST_F(RequestRules, AUserNamedTwiceIsSaidToBe) {
  wire::DescribeUserScramCredentialsRequest request;
  request.users.emplace();
  for (auto user : {"anna", "bert", "anna"}) request.users->push_back({user});
  auto answer = say(std::move(request), 0);
  ASSERT_EQ(answer.results.size(), 2U);
  EXPECT_EQ(answer.results.at(0).error_code.code, 92) << "DUPLICATE_RESOURCE, of anna";
  EXPECT_EQ(answer.results.at(1).error_code.code, 91) << "RESOURCE_NOT_FOUND, of bert";
}

// A name costs a client three bytes, and what it stands for may be described in a million.
TEST_F(RequestRules, WhatIsLargeIsDescribedOnceHoweverOftenItIsNamed) {
  const TopicName wide("wide");
  create("wide", 100);
  EXPECT_EQ(metadata(std::vector<TopicName>(1000, wide)).topics.size(), 1U);

  wire::DescribeTopicPartitionsRequest pages;
  pages.topics.resize(5, {wide});
  EXPECT_EQ(say(std::move(pages), 0).topics.size(), 1U);

  wire::DescribeConfigsRequest configs;
  configs.resources.resize(5, {kTopicResource, "wide", {}});
  EXPECT_EQ(say(std::move(configs), 4).results.size(), 1U);

  wire::DescribeProducersRequest producers;
  producers.topics.push_back({wide, std::vector<PartitionId>(5, PartitionId(0))});
  EXPECT_EQ(say(std::move(producers), 0).topics.at(0).partitions.size(), 1U);
}

// Clients know the code, and put its name in front.
TEST_F(RequestRules, AMessageSaysWhatTheCodeDoesNot) {
  create("orders", 3);
  wire::CreatePartitionsRequest grow;
  grow.topics.push_back({TopicName("orders"), 2, {}});
  grow.timeout_ms = 10000;
  EXPECT_EQ(say(std::move(grow), 3).results.at(0).error_message,
            "Topic currently has 3 partitions, which is higher than the requested 2.");
  wire::DeleteTopicsRequest remove;
  remove.topics.push_back({TopicName("none"), {}});
  remove.timeout_ms = 10000;
  EXPECT_EQ(say(std::move(remove), 6).responses.at(0).error_message, "The topic 'none' does not exist.");
  wire::DescribeConfigsRequest describe;
  describe.resources.push_back({2, "none", {}});
  EXPECT_EQ(say(std::move(describe), 4).results.at(0).error_message, "The topic 'none' does not exist.");
  wire::IncrementalAlterConfigsRequest alter;
  alter.resources.push_back({2, "none", {{"retention.ms", 0, "1"}}});
  alter.resources.push_back({2, "orders", {{"nosuch", 0, "1"}}});
  auto altered = say(std::move(alter), 1);
  EXPECT_EQ(altered.responses.at(0).error_message, "The topic 'none' does not exist.");
  EXPECT_EQ(altered.responses.at(1).error_message, "nosuch: no such setting");
}

// As in Kafka, where the timeout is for the other replicas: an error would have the client write its records twice.
TEST_F(RequestRules, TheTimeoutOfAProduceIsNotForTheBrokersOwnDisk) {
  create("orders");
  machine.faults().disk = {100ms, 200ms};
  for (std::int32_t timeout : {0, 1, -1}) {
    for (std::int16_t acks : {std::int16_t{1}, std::int16_t{-1}})
      EXPECT_EQ(produce(TopicName("orders"), "test", acks, timeout), kNothing) << acks << " " << timeout;
  }
  EXPECT_EQ(end_of(TopicName("orders"), 1), 6);
}

// Consumers ask for all their partitions at once, and give up after half a minute.
TEST_F(RequestRules, LookUpsByTimeInManyColdPartitionsWaitTogether) {
  constexpr int kPartitions = 40;
  create("cold", kPartitions,
         {{"remote.storage.enable", "true"},
          {"segment.bytes", "14"},  // every batch is a shard
          {"local.retention.bytes", "0"},
          {"retention.ms", "-1"}});
  for (int batches = 0; batches < 3; ++batches) {
    wire::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 10000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = TopicName("cold");
    for (int i = 0; i < kPartitions; ++i) {
      log::BatchBuilder batch;
      batch.add(1'000'000, "key", "value");
      topic.partition_data.push_back({PartitionId(i), wire::Records(std::move(batch).build())});
    }
    for (const auto& each : say(std::move(request), 9).responses.at(0).partition_responses)
      ASSERT_EQ(each.error_code.code, kNothing);
  }
  auto offsets_at = [&](std::int64_t time) {
    wire::ListOffsetsRequest request;
    request.topics.push_back({TopicName("cold"), {}});
    for (int i = 0; i < kPartitions; ++i) request.topics[0].partitions.push_back({PartitionId(i), kNoEpoch, time});
    return say(std::move(request), 8).topics.at(0).partitions;
  };
  world.run_for(5min);
  for (const auto& local : offsets_at(-4)) ASSERT_GT(local.offset, Offset(0)) << "is in the archive alone";
  test::run(world, machine, broker->stop());
  test::run(world, machine, start(broker, machine.env()));
  machine.faults().archive = {500ms, 500ms};
  auto began = world.now();
  auto found = offsets_at(1'000'000);
  auto took = world.now() - began;
  EXPECT_LT(took, 5s);
  for (const auto& each : found) {
    EXPECT_EQ(each.error_code.code, kNothing);
    EXPECT_EQ(each.offset, Offset(0));
  }
}

TEST_F(RequestRules, LogDirsAreDescribedOfThePartitionsThatAreNamed) {
  create("wide", 10);
  create("other", 10);
  wire::DescribeLogDirsRequest request;
  request.topics.emplace();
  for (int i = 0; i < 2; ++i) request.topics->push_back({TopicName("wide"), {PartitionId(3), PartitionId(7)}});
  auto directory = say(request, 2).results.at(0);
  ASSERT_EQ(directory.topics.size(), 1U);
  EXPECT_EQ(directory.topics.at(0).partitions.size(), 2U);
  request.topics.reset();
  EXPECT_GE(say(std::move(request), 2).results.at(0).topics.size(), 3U)
      << "and without names of all, internal ones too";
}

TEST_F(RequestRules, NoKeyAtAllStandsForAllSettings) {
  create("orders");
  wire::DescribeConfigsRequest request;
  request.resources.push_back({kTopicResource, "orders", std::vector<std::string>{}});
  EXPECT_GT(say(std::move(request), 4).results.at(0).configs.size(), 10U);
}

}  // namespace
}  // namespace forelog::simulation
