#include "broker/replication/topic_describer.h"

#include "tests/support/worlds.h"

#include <gtest/gtest.h>

namespace forelog::replication {
namespace {

struct TopicDescriberTest : testing::Test {
  test::InSimulation world;
  env::Env& env = world.env();
  TopicDescriber describer{*env.archive, env.clock, "p"};
  archive::TopicDescription topic{"orders", *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ"), 3, {}};

  std::string keys() {
    std::string out;
    for (const auto& [key, bytes] : world.world().objects()) out += key.substr(key.rfind('/') + 1) + " ";
    return out;
  }
  std::string name(std::uint64_t number) {
    auto key = archive::description_key("p", number, topic);
    return key.substr(key.rfind('/') + 1) + " ";
  }
};

TEST_F(TopicDescriberTest, WritesOnceAndAgainWhenSomethingChanged) {
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  EXPECT_EQ(keys(), name(1));
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  EXPECT_EQ(keys(), name(1));
  topic.settings["retention.ms"] = "5";
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  EXPECT_EQ(keys(), name(2));
}

TEST_F(TopicDescriberTest, FindsWhatALifeBeforeWrote) {
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  TopicDescriber next(*env.archive, env.clock, "p");
  ASSERT_TRUE(world.run(next.ensure(topic)));
  EXPECT_EQ(keys(), name(1));
  topic.partitions = 4;
  TopicDescriber third(*env.archive, env.clock, "p");
  ASSERT_TRUE(world.run(third.ensure(topic)));
  EXPECT_EQ(keys(), name(2));
}

TEST_F(TopicDescriberTest, WhatFailsIsTriedAgain) {
  world.machine().faults().archive_outage = true;
  EXPECT_FALSE(world.run(describer.ensure(topic)));
  world.machine().faults().archive_outage = false;
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  EXPECT_EQ(keys(), name(1));
}

TEST_F(TopicDescriberTest, GoesWithTheLastShard) {
  ASSERT_TRUE(world.run(describer.ensure(topic)));
  auto shard = archive::topic_prefix("p", topic.id) + "0/00000000000000000000.0";
  world.world().objects()[shard] = Buffer::view_of_static("x");
  ASSERT_TRUE(world.run(remove_descriptions_if_last(*env.archive, "p", topic.id, test::soon(env))));
  EXPECT_EQ(world.world().objects().size(), 2u);
  world.world().objects().erase(shard);
  ASSERT_TRUE(world.run(remove_descriptions_if_last(*env.archive, "p", topic.id, test::soon(env))));
  EXPECT_TRUE(world.world().objects().empty());
}

}  // namespace
}  // namespace forelog::replication
