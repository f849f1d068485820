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

void make_topic_with_one_record(env::SimulatedWorld& world, env::SimulatedMachine& clients) {
  wire::CreateTopicsRequest create;
  create.topics.push_back({TopicName("kept"), 1, 1, {}, {{"retention.ms", "-1"}}});
  EXPECT_TRUE(test::run(world, clients, ask(clients.env(), create, 7)).topics.at(0).error_code.ok());
  auto produced = test::run(world, clients, ask(clients.env(), one_record("kept"), 9));
  ASSERT_TRUE(produced.responses.at(0).partition_responses.at(0).error_code.ok());
}

std::int64_t end_of(env::SimulatedWorld& world, env::SimulatedMachine& clients) {
  wire::ListOffsetsRequest offsets;
  offsets.topics.push_back({TopicName("kept"), {{PartitionId(0), kNoEpoch, -1}}});
  return test::run(world, clients, ask(clients.env(), offsets, 7)).topics.at(0).partitions.at(0).offset.value();
}

// A script that damages a topic's record, or a version that cannot read it, must not cost the topic's data.
TEST(UnreadableMetadata, KeepsThePartitionsOfATopicWhoseRecordCannotBeRead) {
  env::SimulatedWorld world(7);
  auto& machine = world.machine(1);
  auto& clients = world.machine(1);
  std::unique_ptr<Broker> broker;
  test::run(world, machine, start(broker, machine.env()));

  make_topic_with_one_record(world, clients);

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

    EXPECT_EQ(end_of(world, clients), 1) << "damaged while_running=" << while_running;
  }
  test::run(world, machine, stop(broker));
}

std::int64_t committed(env::SimulatedWorld& world, env::SimulatedMachine& clients) {
  wire::OffsetFetchRequest fetch;
  fetch.group_id = GroupId("g");
  fetch.topics.emplace().push_back({TopicName("kept"), {PartitionId(0)}});
  auto answer = test::run(world, clients, ask(clients.env(), fetch, 7));
  EXPECT_TRUE(answer.error_code.ok());
  return answer.topics.at(0).partitions.at(0).committed_offset.value();
}

// Nor when the record is mended within a moment, and nor do groups lose their place.
TEST(UnreadableMetadata, ARecordThatIsMendedAtOnceCostsNeitherRecordsNorOffsets) {
  env::SimulatedWorld world(8);
  auto& machine = world.machine(1);
  auto& clients = world.machine(1);
  std::unique_ptr<Broker> broker;
  test::run(world, machine, start(broker, machine.env()));

  make_topic_with_one_record(world, clients);
  wire::FindCoordinatorRequest find;
  find.key = "g";
  EXPECT_TRUE(test::run(world, clients, ask(clients.env(), find, 3)).error_code.ok());
  world.run_for(5s);
  wire::OffsetCommitRequest commit;
  commit.group_id = GroupId("g");
  commit.topics.push_back({TopicName("kept"), {{PartitionId(0), Offset(1), kNoEpoch, ""}}});
  auto done = test::run(world, clients, ask(clients.env(), commit, 8));
  ASSERT_TRUE(done.topics.at(0).partitions.at(0).error_code.ok());

  auto path = cluster::paths::topic(TopicName("kept"));
  auto record = test::run(world, machine, znode(machine.env(), path)).data;
  test::run(world, machine, write(machine.env(), path, "{ not JSON"));
  // A change of its settings has the broker look at the topic.
  wire::IncrementalAlterConfigsRequest alter;
  alter.resources.push_back({2, "kept", {{"max.message.bytes", 0, "1000000"}}});
  test::run(world, clients, ask(clients.env(), alter, 1));
  world.run_for(2s);
  test::run(world, machine, write(machine.env(), path, record));
  world.run_for(60s);
  EXPECT_EQ(end_of(world, clients), 1);
  EXPECT_EQ(committed(world, clients), 1);
  test::run(world, machine, stop(broker));
  test::run(world, machine, start(broker, machine.env()));
  world.run_for(10s);
  EXPECT_EQ(end_of(world, clients), 1);
  EXPECT_EQ(committed(world, clients), 1);
  test::run(world, machine, stop(broker));
}

}  // namespace
}  // namespace forelog::simulation
