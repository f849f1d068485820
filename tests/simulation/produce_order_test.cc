// A connection's batches are appended in the order of its requests, also while partitions are being opened.
#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/env/task_group.h"
#include "broker/log/batch_builder.h"
#include "broker/wire/messages.h"
#include "tests/simulation/lone_broker.h"
#include "tests/simulation/wire_client.h"
#include "tests/support/run_task.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

constexpr wire::Version kProduce = 9;
const TopicName kTopic("orders");

Task<void> start(std::unique_ptr<Broker>& broker, env::Env& env) {
  broker = std::make_unique<Broker>(env, lone_broker_settings());
  auto started = co_await broker->start();
  EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().text());
}

Task<void> stop(std::unique_ptr<Broker>& broker) {
  co_await broker->stop();
  broker.reset();
}

wire::ProduceRequest to_partitions(std::vector<int> partitions) {
  wire::ProduceRequest request;
  request.acks = 1;
  request.timeout_ms = 10000;
  auto& topic = request.topic_data.emplace_back();
  topic.name = kTopic;
  for (auto partition : partitions) {
    log::BatchBuilder batch;
    batch.add(1'000'000, "key", "value");
    topic.partition_data.push_back({PartitionId(partition), wire::Records(std::move(batch).build())});
  }
  return request;
}

Task<void> create_and_fill(env::Env& env) {
  WireClient client(env, "test");
  auto deadline = env.clock.now() + 30s;
  EXPECT_TRUE((co_await client.open({"m0", 9092}, deadline)).has_value());
  wire::CreateTopicsRequest create;
  create.topics.push_back({kTopic, 2, 1, {}, {}});
  auto created = co_await client.call(std::move(create), 7, deadline);
  EXPECT_TRUE(created && created->topics.at(0).error_code.ok());
  auto filled = co_await client.call(to_partitions({0, 1}), kProduce, deadline);
  EXPECT_TRUE(filled && filled->responses.at(0).partition_responses.at(0).error_code.ok());
}

// Where each request's batches were appended.
struct Appended {
  std::vector<Offset> offsets[2];
  int refused = 0;
};

Task<void> receive(WireClient& client, std::int32_t id, int count, Deadline deadline, Appended& out) {
  for (int i = 0; i < count; ++i) {
    auto answer = co_await client.receive<wire::ProduceResponse>(id + i, kProduce, deadline);
    EXPECT_TRUE(answer.has_value()) << (answer ? "" : answer.error().text());
    if (!answer) co_return;
    for (const auto& partition : answer->responses.at(0).partition_responses) {
      if (!partition.error_code.ok()) ++out.refused;
      if (!partition.error_code.ok()) continue;
      out.offsets[partition.index.value()].push_back(partition.base_offset);
    }
  }
}

// One request a millisecond, from before until after the broker tries again to open what it could not open.
Task<Appended> produce_meanwhile(env::Env& env) {
  constexpr int kRequests = 1500;
  WireClient client(env, "test");
  auto deadline = env.clock.now() + 60s;
  EXPECT_TRUE((co_await client.open({"m0", 9092}, deadline)).has_value());
  co_await sleep_until(env.clock, env.clock.now() + 4500ms);
  Appended out;
  TaskGroup tasks(env.cores);
  for (int i = 0; i < kRequests; ++i) {
    auto request = i % 2 == 0 ? to_partitions({0, 1}) : to_partitions({1});
    auto id = co_await client.send(std::move(request), kProduce, deadline);
    EXPECT_TRUE(id.has_value());
    if (!id) break;
    if (i == 0) tasks.spawn(receive(client, *id, kRequests, deadline, out));
    co_await sleep_until(env.clock, env.clock.now() + 1ms);
  }
  co_await tasks.join();
  co_return out;
}

TEST(ProduceOrder, IsThatOfTheRequestsWhilePartitionsAreBeingOpened) {
  set_log_level(warn);
  int looked_at = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    env::SimulatedWorld world(seed);
    auto& machine = world.machine(1);
    auto& clients = world.machine(1);
    std::unique_ptr<Broker> broker;
    test::run(world, machine, start(broker, machine.env()));
    test::run(world, clients, create_and_fill(clients.env()));
    test::run(world, machine, stop(broker));

    // The disk fails in the moment in which the partitions are opened, and is well again when that is tried anew.
    machine.faults().disk = {1ms, 30ms};
    int failures = 0;
    set_log_level(info);
    set_log_sink([&](LogLevel, std::string_view line) {
      if (line.find("controller_elected") != std::string_view::npos) machine.faults().disk_error_rate = 1;
      if (line.find("partition_open_failed") != std::string_view::npos && ++failures == 2)
        machine.faults().disk_error_rate = 0;
    });
    test::run(world, machine, start(broker, machine.env()));
    set_log_sink({});
    set_log_level(warn);
    machine.faults().disk_error_rate = 0;
    auto appended = test::run(world, clients, produce_meanwhile(clients.env()));
    if (appended.refused > 0 && !appended.offsets[0].empty()) ++looked_at;
    for (const auto& offsets : appended.offsets)
      EXPECT_TRUE(std::ranges::is_sorted(offsets)) << "seed " << seed << ", refused " << appended.refused;
    test::run(world, machine, stop(broker));
  }
  EXPECT_GT(looked_at, 0);
}

}  // namespace
}  // namespace forelog::simulation
