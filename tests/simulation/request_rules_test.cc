// What a whole broker answers to requests that name a thing twice, or something that is not theirs to change.
#include "broker/broker.h"
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

constexpr std::int16_t kNothing = 0, kInvalidTopic = 17;
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

AllSettings settings() {
  auto out = lone_broker_settings();
  out.access_log.enable = true;
  return out;
}

Task<void> start(std::unique_ptr<Broker>& broker, env::Env& env) {
  broker = std::make_unique<Broker>(env, settings());
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
  std::int16_t produce(const TopicName& topic, const std::string& client_id = "test") {
    wire::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 10000;
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

}  // namespace
}  // namespace forelog::simulation
