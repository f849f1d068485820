// A broker that is sent to an archive which is not its own, and a restore from one with strange objects.
#include "broker/archive/identity.h"
#include "broker/archive/shard_object.h"
#include "broker/archive/topic_object.h"
#include "broker/archive_restore.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "tests/simulation/lone_broker.h"
#include "tests/support/run_task.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

using testing::HasSubstr;

const std::string kIdentity = archive::identity_key("forelog");

Task<void> forget_archive(env::Env& env) {
  std::vector<env::MetadataOp> ops{env::MetadataOp::remove("/forelog/archive", -1)};
  auto done = co_await env.metadata.commit(std::move(ops));
  EXPECT_TRUE(done.has_value());
}

class WrongArchive : public testing::Test {
 protected:
  WrongArchive() {
    set_log_sink([this](LogLevel, std::string_view line) { lines.emplace_back(line); });
    life();
    wire::CreateTopicsRequest create;
    create.topics.push_back({TopicName("kept"),
                             1,
                             1,
                             {},
                             {{"remote.storage.enable", "true"}, {"retention.ms", "-1"}, {"segment.ms", "1000"}}});
    EXPECT_TRUE(test::run(world, clients, ask(clients.env(), create, 7)).topics.at(0).error_code.ok());
    produce();
    world.run_for(60s);
  }
  ~WrongArchive() override {
    test::run(world, machine, stop(broker));
    set_log_sink({});
  }

  void life() {
    if (broker) test::run(world, machine, stop(broker));
    test::run(world, machine, start(broker, machine.env()));
  }
  void produce() {
    auto produced = test::run(world, clients, ask(clients.env(), one_record("kept"), 9));
    EXPECT_TRUE(produced.responses.at(0).partition_responses.at(0).error_code.ok());
  }
  Offset end() {
    wire::ListOffsetsRequest offsets;
    offsets.topics.push_back({TopicName("kept"), {{PartitionId(0), kNoEpoch, -1}}});
    return test::run(world, clients, ask(clients.env(), offsets, 7)).topics.at(0).partitions.at(0).offset;
  }
  // Keys of shards.
  std::vector<std::string> shards() {
    std::vector<std::string> out;
    for (const auto& [key, bytes] : world.objects()) {
      if (archive::parse_object_key("forelog", key)) out.push_back(key);
    }
    return out;
  }
  std::size_t count_lines(const std::string& event) {
    auto says = [&](const std::string& line) { return line.find(event) != std::string::npos; };
    return static_cast<std::size_t>(std::ranges::count_if(lines, says));
  }
  std::int64_t is_foreign() {
    MetricsSnapshot all;
    for (const auto* registry : broker->metrics()) registry->collect(all);
    return all.at({"forelog_archive_foreign", ""}).value;
  }

  std::vector<std::string> lines;
  env::SimulatedWorld world{5};
  env::SimulatedMachine& machine = world.machine(1);
  env::SimulatedMachine& clients = world.machine(1);
  std::unique_ptr<Broker> broker;
};

TEST_F(WrongArchive, IsLeftAloneUntilItIsTheRightOne) {
  ASSERT_EQ(shards().size(), 1U);
  ASSERT_TRUE(world.objects().contains(kIdentity));
  auto orphan = shards().front();
  orphan.back() = '7';  // a generation that the chain does not name
  for (bool has_other_id : {false, true}) {
    test::run(world, machine, stop(broker));
    auto own = std::exchange(world.objects(), {});
    world.objects()[orphan] = Buffer::copy_of("of somebody else");
    if (has_other_id) world.objects()[kIdentity] = Buffer::take(archive::encode_identity(world.random().topic_id()));
    auto before = world.objects().size();
    lines.clear();
    life();
    produce();
    world.run_for(120s);
    EXPECT_EQ(world.objects().size(), before) << "something was put or deleted";
    EXPECT_TRUE(world.objects().contains(orphan));
    EXPECT_EQ(count_lines("archive_is_another"), 1U);
    EXPECT_EQ(is_foreign(), 1);
    EXPECT_EQ(end(), Offset(has_other_id ? 3 : 2));  // what is here is served

    world.objects() = std::move(own);
    world.run_for(120s);
    EXPECT_EQ(is_foreign(), 0);
    EXPECT_EQ(shards().size(), has_other_id ? 3U : 2U);
  }
}

TEST_F(WrongArchive, AnArchiveOfAnOlderReleaseGetsAnId) {
  test::run(world, machine, stop(broker));
  world.objects().erase(kIdentity);
  test::run(world, machine, forget_archive(machine.env()));
  lines.clear();
  life();
  produce();
  world.run_for(60s);
  EXPECT_TRUE(world.objects().contains(kIdentity));
  EXPECT_EQ(shards().size(), 2U);
  EXPECT_EQ(count_lines("archive_is_another"), 0U);
}

TEST_F(WrongArchive, AnIdThatCannotBeReadIsSaidOnceAndNothingIsChangedUntilItCan) {
  auto own = world.objects().at(kIdentity);
  const std::string newer = R"({"version":2,"id":"AAAAAAAAAAAAAAAAAAAAAQ"})";
  for (const auto& [text, advice] : {std::pair<std::string, std::string>{"<html>", std::string(own.text())},
                                     {newer, "start the release that wrote it, or a newer one"}}) {
    test::run(world, machine, stop(broker));
    world.objects()[kIdentity] = Buffer::copy_of(text);
    auto before = shards().size();
    lines.clear();
    life();
    produce();
    world.run_for(120s);
    EXPECT_EQ(shards().size(), before);
    EXPECT_EQ(world.objects().at(kIdentity).text(), text);
    EXPECT_EQ(count_lines("archive_id_unreadable"), 1U);
    auto said = std::ranges::find_if(lines, [](const auto& line) { return line.contains("archive_id_unreadable"); });
    ASSERT_NE(said, lines.end());
    auto unquoted = *said;
    std::erase(unquoted, '\\');
    EXPECT_THAT(unquoted, HasSubstr(advice));
    EXPECT_EQ(is_foreign(), 0);

    world.objects()[kIdentity] = own;
    world.run_for(120s);
    EXPECT_EQ(shards().size(), before + 1);
  }
}

TEST_F(WrongArchive, WithNothingArchivedAnyOneWillDo) {
  wire::DeleteTopicsRequest gone;
  gone.timeout_ms = 10000;
  gone.topic_names.push_back(TopicName("kept"));
  test::run(world, clients, ask(clients.env(), gone, 4));
  world.run_for(60s);
  ASSERT_TRUE(shards().empty());
  test::run(world, machine, stop(broker));
  world.objects().clear();
  lines.clear();
  life();
  world.run_for(60s);
  EXPECT_TRUE(world.objects().contains(kIdentity));
  EXPECT_EQ(count_lines("archive_is_another"), 0U);
}

TEST(StrangeObjects, ANumberInAKeyMakesNoMillionPartitions) {
  env::SimulatedWorld world(6);
  auto& machine = world.machine(1);
  archive::TopicDescription topic{"orders", *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ"), 3, {}};
  world.objects()[archive::description_key("forelog", 1, topic)] = archive::encode_description(topic);
  world.objects()[archive::topic_prefix("forelog", topic.id) + "999998/00000000000000000000.0"] = Buffer::copy_of("x");
  RestoreOptions options{.prefix = "forelog", .topic = "orders", .as = {}, .id = {}, .partial = true};
  auto restoring = restore_topic(machine.env(), std::move(options), [](const std::string&) {});
  auto restored = test::run(world, machine, std::move(restoring));
  ASSERT_FALSE(restored) << restored->partitions.size();
  EXPECT_EQ(restored.error().code, ErrorCode::kCorruptFile);
  EXPECT_THAT(restored.error().text(), HasSubstr("999998"));
  EXPECT_THAT(restored.error().text(), HasSubstr(archive::topic_prefix("forelog", topic.id)));
}

}  // namespace
}  // namespace forelog::simulation
