#include "broker/cluster/records.h"
#include "tests/simulation/lone_broker.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

Task<env::Znode> znode(env::Env& env, std::string path) {
  co_return (co_await env.metadata.get(path)).value_or(env::Znode{});
}

Task<void> write(env::Env& env, std::string path, std::string data) {
  std::vector<env::MetadataOp> ops;
  ops.push_back(env::MetadataOp::set(std::move(path), std::move(data), -1));
  auto written = co_await env.metadata.commit(std::move(ops));
  EXPECT_TRUE(written.has_value());
}

// A script that damages a topic's record, or a version that cannot read it, must not cost the topic's data.
TEST(UnreadableMetadata, KeepsThePartitionsOfATopicWhoseRecordCannotBeRead) {
  env::SimulatedWorld world(7);
  auto& machine = world.machine(1);
  auto& clients = world.machine(1);
  std::unique_ptr<Broker> broker;
  test::run(world, machine, start(broker, machine.env()));

  wire::CreateTopicsRequest create;
  create.topics.push_back({TopicName("kept"), 1, 1, {}, {{"retention.ms", "-1"}}});
  EXPECT_TRUE(test::run(world, clients, ask(clients.env(), create, 7)).topics.at(0).error_code.ok());
  auto produced = test::run(world, clients, ask(clients.env(), one_record("kept"), 9));
  ASSERT_TRUE(produced.responses.at(0).partition_responses.at(0).error_code.ok());

  auto path = cluster::paths::topic(TopicName("kept"));
  auto record = test::run(world, machine, znode(machine.env(), path)).data;
  for (bool while_running : {true, false}) {
    if (!while_running) test::run(world, machine, stop(broker));
    test::run(world, machine, write(machine.env(), path, "{ not JSON"));
    if (!while_running) test::run(world, machine, start(broker, machine.env()));
    world.run_for(60s);
    test::run(world, machine, stop(broker));
    test::run(world, machine, write(machine.env(), path, record));
    test::run(world, machine, start(broker, machine.env()));
    world.run_for(10s);

    wire::ListOffsetsRequest offsets;
    offsets.topics.push_back({TopicName("kept"), {{PartitionId(0), kNoEpoch, -1}}});
    auto end = test::run(world, clients, ask(clients.env(), offsets, 7));
    EXPECT_EQ(end.topics.at(0).partitions.at(0).offset, Offset(1)) << "damaged while_running=" << while_running;
  }
  test::run(world, machine, stop(broker));
}

}  // namespace
}  // namespace forelog::simulation
