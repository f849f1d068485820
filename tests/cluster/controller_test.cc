#include "broker/cluster/controller.h"

#include "broker/base/log.h"
#include "broker/cluster/records.h"
#include "broker/cluster/session.h"
#include "broker/log/topic_settings.h"
#include "broker/wire/api_table.h"
#include "tests/support/run_task.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

using env::MetadataOp;

const SettingsCatalog& catalog() {
  static const SettingsCatalog instance = [] {
    SettingsCatalog out;
    out.add<BrokerSettings>("Broker");
    out.add<ServiceSettings>("Service");
    out.add<log::TopicSettings>("Topics");
    return out;
  }();
  return instance;
}

BrokerView self_of(int id) {
  BrokerView self;
  self.id = BrokerId(id);
  self.listeners = {{"PLAINTEXT", "PLAINTEXT", {"10.0.0." + std::to_string(id), 9092}}};
  self.hint_endpoint = "10.0.0.1:9192";
  return self;
}

// The cluster layer of one broker.
struct Member {
  Member(env::SimulatedMachine& m, int id, SettingMap file)
      : machine(m),
        session(m.env(), self_of(id)),
        state(m.cores(), m.metadata(), BrokerId(id), std::move(file)),
        controller(m.env(), state, BrokerId(id), catalog()) {}

  Task<Result<void>> start() {
    CO_TRY(co_await session.prepare());
    CO_TRY(co_await session.start(machine.cores().clock().now() + 30s));
    CO_TRY(co_await state.start());
    co_return co_await controller.start();
  }
  Task<void> stop() {
    co_await controller.stop();
    co_await state.stop();
    co_await session.stop();
  }

  env::SimulatedMachine& machine;
  Session session;
  ClusterState state;
  Controller controller;
};

class ClusterTest : public testing::Test {
 protected:
  ClusterTest() : world(7) {}
  ~ClusterTest() override {
    for (auto& member : members) test::run(world, member->machine, member->stop());
  }

  Member& start(int id, SettingMap file = {}) {
    auto& machine = world.machine(2);
    members.push_back(std::make_unique<Member>(machine, id, std::move(file)));
    auto started = test::run(world, machine, members.back()->start());
    EXPECT_TRUE(started) << started.error().text();
    return *members.back();
  }
  void stop(Member& member) {
    test::run(world, member.machine, member.stop());
    std::erase_if(members, [&](const auto& m) { return m.get() == &member; });
  }
  Deadline soon() const { return world.now() + 10s; }

  template <class T>
  T run(Member& member, Task<T> task, int core = 0) {
    return test::run(world, member.machine, std::move(task), CoreId(core));
  }
  Result<CreatedTopic> create(Member& member, std::string name, std::int32_t partitions = 1, SettingMap configs = {},
                              int core = 0) {
    NewTopic topic;
    topic.name = TopicName(std::move(name));
    topic.partitions = partitions;
    topic.configs = std::move(configs);
    return run(member, member.controller.create_topic(topic, false, soon()), core);
  }
  ClusterViewPtr view(Member& member, int core = 0) {
    ClusterViewPtr out;
    member.machine.cores().run_as(core, [&] { out = member.state.view(); });
    return out;
  }
  // What a script would do with zkCli or kazoo.
  void script(std::vector<MetadataOp> ops) {
    auto& tool = world.machine();
    auto done = test::run(world, tool, tool.metadata().commit(std::move(ops)));
    ASSERT_TRUE(done) << done.error().text();
  }
  std::string data(const std::string& path) {
    auto& tool = world.machine();
    auto znode = test::run(world, tool, tool.metadata().get(path));
    return znode ? znode->data : "(none)";
  }
  bool eventually(const std::function<bool()>& what) { return world.run_until(what, 30s); }

  env::SimulatedWorld world;
  std::vector<std::unique_ptr<Member>> members;
};

TEST_F(ClusterTest, ABrokerRegistersAndBecomesController) {
  auto& one = start(1);
  auto now = view(one);
  EXPECT_EQ(now->controller(), BrokerId(1));
  EXPECT_EQ(now->cluster_id().size(), 22U);
  ASSERT_NE(now->broker(BrokerId(1)), nullptr);
  EXPECT_EQ(now->broker(BrokerId(1))->listeners, self_of(1).listeners);
  EXPECT_EQ(now->broker(BrokerId(1))->hint_endpoint, "10.0.0.1:9192");
  EXPECT_EQ(data("/controller_epoch"), "1");
  stop(one);
  EXPECT_EQ(data("/brokers/ids/1"), "(none)");
  EXPECT_EQ(data("/controller"), "(none)");
  start(1);
  EXPECT_EQ(data("/controller_epoch"), "2");
}

TEST_F(ClusterTest, ACreatedTopicIsInTheViewOfTheCallingCore) {
  auto& one = start(1);
  auto created = create(one, "orders", 3, {{"retention.ms", "5000"}}, 1);
  ASSERT_TRUE(created) << created.error().text();
  EXPECT_EQ(created->partitions, 3);
  auto now = view(one, 1);
  const auto* topic = now->topic(TopicName("orders"));
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->id, created->id);
  EXPECT_EQ(now->topic(created->id), topic);
  EXPECT_EQ(topic->settings->retention, 5s);
  ASSERT_EQ(topic->partitions.size(), 3U);
  EXPECT_EQ(topic->partitions[2].leader, BrokerId(1));
  EXPECT_EQ(topic->partitions[2].leader_epoch, Epoch(0));
  EXPECT_EQ(data("/brokers/topics/orders/partitions/2/state"),
            R"({"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]})");
  EXPECT_EQ(create(one, "orders").error().code, ErrorCode::kTopicAlreadyExists);
}

TEST_F(ClusterTest, ValidationAloneChangesNothing) {
  auto& one = start(1);
  NewTopic topic;
  topic.name = TopicName("orders");
  auto checked = run(one, one.controller.create_topic(topic, true, soon()));
  ASSERT_TRUE(checked);
  EXPECT_EQ(data("/brokers/topics/orders"), "(none)");
  topic.configs = {{"nonsense", "1"}};
  EXPECT_EQ(run(one, one.controller.create_topic(topic, true, soon())).error().code, ErrorCode::kInvalidConfig);
}

TEST_F(ClusterTest, ATopicOfManyPartitionsIsMadeInParts) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "wide", 1200));
  EXPECT_EQ(view(one)->topic(TopicName("wide"))->partitions.at(1199).leader, BrokerId(1));
  ASSERT_TRUE(run(one, one.controller.delete_topic(TopicName("wide"), {}, soon())));
  EXPECT_EQ(data("/brokers/topics/wide"), "(none)");
}

TEST_F(ClusterTest, ADeletedTopicLeavesNothingAndComesBackWithAnotherId) {
  auto& one = start(1);
  auto first = create(one, "orders", 2, {{"retention.ms", "5000"}});
  ASSERT_TRUE(run(one, one.controller.delete_topic(TopicName("orders"), {}, soon()), 1));
  EXPECT_EQ(view(one, 1)->topic(TopicName("orders")), nullptr);
  for (auto path : {"/brokers/topics/orders", "/config/topics/orders", "/admin/delete_topics/orders"})
    EXPECT_EQ(data(path), "(none)");
  EXPECT_EQ(run(one, one.controller.delete_topic(TopicName("orders"), {}, soon())).error().code,
            ErrorCode::kUnknownTopicOrPartition);
  auto second = create(one, "orders");
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->id, second->id);
}

TEST_F(ClusterTest, PartitionsAreAdded) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "orders", 1));
  auto grow = [&](std::int32_t count) {
    return run(one, one.controller.create_partitions(TopicName("orders"), count, {}, false, soon()));
  };
  ASSERT_TRUE(grow(4));
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->partitions.size(), 4U);
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->partitions[3].leader, BrokerId(1));
  EXPECT_EQ(grow(4).error().code, ErrorCode::kInvalidPartitions);
}

TEST_F(ClusterTest, SettingsOfATopicChange) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "orders"));
  ConfigResource orders{ConfigResource::Kind::topic, "orders"};
  auto alter = [&](std::vector<ConfigChange> changes) {
    return run(one, one.controller.alter_configs(orders, changes, false, soon()), 1);
  };
  ASSERT_TRUE(alter({{ConfigOp::set, "retention.ms", "7000"}, {ConfigOp::set, "segment.bytes", "1000"}}));
  EXPECT_EQ(view(one, 1)->topic(TopicName("orders"))->settings->retention, 7s);
  EXPECT_EQ(data("/config/topics/orders"), R"({"version":1,"config":{"retention.ms":"7000","segment.bytes":"1000"}})");
  EXPECT_EQ(alter({{ConfigOp::set, "retention.ms", "-5"}}).error().code, ErrorCode::kInvalidConfig);
  auto rows = run(one, one.controller.describe_configs(orders));
  ASSERT_TRUE(rows);
  auto row = std::ranges::find(*rows, "retention.ms", &SettingEntry::name);
  EXPECT_EQ(row->value, "7000");
  EXPECT_EQ(row->source, SettingSource::topic);
  ASSERT_TRUE(run(one, one.controller.replace_configs(orders, {{"segment.bytes", "2000"}}, false, soon())));
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->settings->retention, 168h);
  ConfigResource none{ConfigResource::Kind::topic, "none"};
  EXPECT_EQ(run(one, one.controller.alter_configs(none, {}, false, soon())).error().code,
            ErrorCode::kUnknownTopicOrPartition);
}

TEST_F(ClusterTest, SettingsOfTheBrokerReachTheTopics) {
  auto& one = start(1, {{"log.retention.hours", "2"}});
  ASSERT_TRUE(create(one, "orders"));
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->settings->retention, 2h);
  ConfigResource self{ConfigResource::Kind::broker, "1"}, all{ConfigResource::Kind::broker, ""},
      other{ConfigResource::Kind::broker, "2"};
  auto alter = [&](ConfigResource to, std::string name, std::string value) {
    return run(one, one.controller.alter_configs(to, {{ConfigOp::set, name, value}}, false, soon()));
  };
  ASSERT_TRUE(alter(all, "log.retention.ms", "9000"));
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->settings->retention, 9s);
  ASSERT_TRUE(alter(self, "num.partitions", "5"));
  EXPECT_EQ(create(one, "five", -1)->partitions, 5);
  EXPECT_EQ(alter(other, "num.partitions", "5").error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(alter(self, "log.dirs", "/x").error().code, ErrorCode::kInvalidRequest);
  auto rows = run(one, one.controller.describe_configs(all));
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 1U);
  EXPECT_EQ(rows->front().name, "log.retention.ms");
}

TEST_F(ClusterTest, WhereThereIsAnArchiveNewTopicsUseIt) {
  auto& one = start(1, {{"archive.url", "file:/archive"}});
  ASSERT_TRUE(create(one, "orders"));
  EXPECT_TRUE(view(one)->topic(TopicName("orders"))->settings->remote_storage);
  ASSERT_TRUE(create(one, "state", 1, {{"cleanup.policy", "compact"}}));
  EXPECT_FALSE(view(one)->topic(TopicName("state"))->settings->remote_storage);
}

TEST_F(ClusterTest, ProducerIdsAreGivenOnce) {
  auto& one = start(1);
  auto& two = start(2);
  auto first = run(one, one.controller.allocate_producer_ids(soon()), 1);
  auto second = run(two, two.controller.allocate_producer_ids(soon()));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->first, 0);
  EXPECT_EQ(first->last, 999);
  EXPECT_EQ(second->first, 1000);
}

// A disk that is full, say.
class UnwritableStore final : public env::MetadataStore {
 public:
  UnwritableStore(env::MetadataStore& store, env::Clock& clock) : store_(store), clock_(clock) {}
  int commits = 0;

  Task<Result<env::Znode>> get(std::string path) override { return store_.get(std::move(path)); }
  Task<Result<std::vector<std::string>>> children(std::string path) override {
    return store_.children(std::move(path));
  }
  Task<Result<void>> commit(std::vector<MetadataOp>) override {
    ++commits;
    co_await sleep_until(clock_, clock_.now() + 100us);
    co_return fail(ErrorCode::kDiskFull, "as told");
  }
  Task<Result<bool>> wait_for_change(std::string path, Known known, Deadline deadline) override {
    return store_.wait_for_change(std::move(path), known, deadline);
  }

 private:
  env::MetadataStore& store_;
  env::Clock& clock_;
};

TEST_F(ClusterTest, WhoWantsProducerIdsDoesNotKeepAStoreBusyThatTakesNothing) {
  auto& one = start(1);
  auto& its = one.machine.env();
  UnwritableStore store(its.metadata, its.clock);
  env::Env env{its.cores, its.clock, its.random, its.files, its.network, its.local, store};
  Controller controller(env, one.state, BrokerId(1), catalog());
  EXPECT_FALSE(run(one, controller.allocate_producer_ids(world.now() + 1s)));
  EXPECT_LT(store.commits, 20);
  EXPECT_GT(store.commits, 1) << "it tries again";
}

TEST_F(ClusterTest, WhereTopicsMayNotBeDeletedThatIsSaid) {
  auto& one = start(1, {{"delete.topic.enable", "false"}});
  ASSERT_TRUE(create(one, "orders"));
  auto deleted = run(one, one.controller.delete_topic(TopicName("orders"), {}, soon()));
  ASSERT_FALSE(deleted);
  const auto& api = wire::row_of(wire::ApiKey::kDeleteTopics);
  EXPECT_EQ(wire::code_to_send(api, 6, wire_code_of(deleted.error().code)), 73);  // TOPIC_DELETION_DISABLED
  EXPECT_EQ(wire::code_to_send(api, 2, wire_code_of(deleted.error().code)), 42) << "v3 is the first that knows it";
}

// --- what scripts do -------------------------------------------------------------------------------------------------

TEST_F(ClusterTest, ATopicWrittenByAScriptBecomesATopic) {
  auto& one = start(1);
  script({MetadataOp::create("/config/topics/made", R"({"version":1,"config":{"retention.ms":"3000"}})"),
          MetadataOp::create("/brokers/topics/made", R"({"version":1,"partitions":{"1":[1],"0":[1]}})")});
  ASSERT_TRUE(eventually([&] { return view(one)->topic(TopicName("made")) != nullptr; }));
  const auto* topic = view(one)->topic(TopicName("made"));
  EXPECT_FALSE(topic->id.is_zero());
  EXPECT_EQ(topic->partitions.size(), 2U);
  EXPECT_EQ(topic->partitions[1].leader, BrokerId(1));
  EXPECT_EQ(topic->settings->retention, 3s);
}

TEST_F(ClusterTest, AScriptThatRewritesATopicAddsPartitionsAndDoesNotChangeItsId) {
  auto& one = start(1);
  auto created = create(one, "orders", 1);
  ASSERT_TRUE(created);
  script({MetadataOp::set("/brokers/topics/orders", R"({"version":2,"partitions":{"0":[1],"1":[1]}})", -1)});
  ASSERT_TRUE(eventually([&] { return view(one)->topic(TopicName("orders"))->partitions.size() == 2; }));
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->id, created->id);
  EXPECT_NE(data("/brokers/topics/orders").find(created->id.text()), std::string::npos);
}

// Between the script and us looking at what it wrote, the topic's settings are changed and the topic is read anew.
TEST_F(ClusterTest, ATopicRewrittenWithoutItsIdIsTheSameWhoeverSeesItFirst) {
  auto& one = start(1);
  auto created = create(one, "orders", 1);
  ASSERT_TRUE(created);
  world.run_for(6s);  // the controller has just looked
  script({MetadataOp::set("/brokers/topics/orders", R"({"version":2,"partitions":{"0":[1],"1":[1]}})", -1)});
  std::vector<ConfigChange> changes{{ConfigOp::set, "retention.ms", "5000"}};
  ASSERT_TRUE(run(one, one.controller.alter_configs({ConfigResource::Kind::topic, "orders"}, changes, false, soon())));
  ASSERT_NE(view(one)->topic(TopicName("orders")), nullptr);
  EXPECT_EQ(view(one)->topic(TopicName("orders"))->id, created->id);
  world.run_for(10s);
  const auto* topic = view(one)->topic(TopicName("orders"));
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->id, created->id);
  EXPECT_EQ(topic->partitions.size(), 2U);
  EXPECT_EQ(topic->partitions[1].leader, BrokerId(1));
}

TEST_F(ClusterTest, AMarkOfAScriptDeletesATopic) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "orders", 2));
  script(
      {MetadataOp::create("/admin/delete_topics/orders", ""), MetadataOp::create("/admin/delete_topics/nothing", "")});
  ASSERT_TRUE(eventually([&] { return view(one)->topic(TopicName("orders")) == nullptr; }));
  ASSERT_TRUE(eventually([&] { return data("/admin/delete_topics/nothing") == "(none)"; }));
  EXPECT_EQ(data("/admin/delete_topics/orders"), "(none)");
}

TEST_F(ClusterTest, SettingsWrittenByAScriptTakeEffectWithItsNotification) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "orders"));
  script(
      {MetadataOp::set("/config/topics/orders", R"({"version":1,"config":{"retention.ms":"4000"}})", -1),
       MetadataOp::create("/config/changes/config_change_0000000000", R"({"version":2,"entity_path":"topics/orders"})"),
       MetadataOp::create("/config/changes/config_change_0000000001", "not JSON")});
  ASSERT_TRUE(eventually([&] { return view(one)->topic(TopicName("orders"))->settings->retention == 4s; }));
  ASSERT_TRUE(eventually([&] { return data("/config/changes/config_change_0000000001") == "(none)"; }));
}

TEST_F(ClusterTest, ATopicWhoseZnodesAScriptRemovedLeavesTheView) {
  auto& one = start(1);
  ASSERT_TRUE(create(one, "orders"));
  script({MetadataOp::remove("/brokers/topics/orders/partitions/0/state", -1),
          MetadataOp::remove("/brokers/topics/orders/partitions/0", -1),
          MetadataOp::remove("/brokers/topics/orders/partitions", -1),
          MetadataOp::remove("/brokers/topics/orders", -1)});
  EXPECT_TRUE(eventually([&] { return view(one)->topic(TopicName("orders")) == nullptr; }));
}

TEST_F(ClusterTest, NonsenseWrittenByAScriptIsLeftAlone) {
  auto& one = start(1);
  script({MetadataOp::create("/brokers/topics/bad", "nonsense"),
          MetadataOp::create("/brokers/topics/gap", R"({"partitions":{"1":[1]}})"),
          MetadataOp::create("/brokers/topics/b d", R"({"partitions":{"0":[1]}})"),
          MetadataOp::create("/brokers/ids/x", "")});
  world.run_for(10s);
  EXPECT_TRUE(view(one)->topics().empty());
  EXPECT_TRUE(create(one, "good"));
}

// --- several brokers, and faults -------------------------------------------------------------------------------------

TEST_F(ClusterTest, EveryBrokerSeesWhatTheControllerDoes) {
  auto& one = start(1);
  auto& two = start(2);
  EXPECT_FALSE(two.controller.elected());
  ASSERT_TRUE(create(one, "orders", 4));
  ASSERT_TRUE(eventually([&] { return view(two)->topic(TopicName("orders")) != nullptr; }));
  EXPECT_EQ(view(two)->brokers().size(), 2U);
  EXPECT_EQ(create(two, "refused").error().code, ErrorCode::kNotController);
}

TEST_F(ClusterTest, WhenTheControllerGoesAnotherTakesOverAndElectsLeaders) {
  auto& one = start(1);
  auto& two = start(2);
  ASSERT_TRUE(eventually([&] { return view(one)->brokers().size() == 2; }));
  NewTopic topic;
  topic.name = TopicName("orders");
  topic.assignment = {{PartitionId(0), {BrokerId(1), BrokerId(2)}}};
  ASSERT_TRUE(run(one, one.controller.create_topic(topic, false, soon())));
  topic.name = TopicName("solo");
  topic.assignment = {{PartitionId(0), {BrokerId(1)}}};
  ASSERT_TRUE(run(one, one.controller.create_topic(topic, false, soon())));
  stop(one);
  ASSERT_TRUE(eventually([&] { return two.controller.elected(); }));
  auto partition = [&](std::string name) { return *view(two)->partition(TopicName(name), PartitionId(0)); };
  ASSERT_TRUE(
      eventually([&] { return partition("orders").leader == BrokerId(2) && partition("solo").leader == kNoBroker; }));
  EXPECT_EQ(partition("orders").leader_epoch, Epoch(1));
  start(1);
  EXPECT_TRUE(eventually([&] { return partition("solo").leader == BrokerId(1); }));
  EXPECT_TRUE(create(two, "more"));
}

// A broker whose session was lost may be back before its view shows that its partitions lost their leader.
TEST_F(ClusterTest, ABrokerThatIsBackWhileItsLeadersAreTakenAwayGetsThemAllAgain) {
  auto& one = start(1);
  constexpr int kTopics = 20;
  for (int i = 0; i < kTopics; ++i) ASSERT_TRUE(create(one, "topic-" + std::to_string(i)));
  world.run_for(1s);  // the controller has looked at the new topics
  auto registration = data("/brokers/ids/1");
  one.machine.faults().metadata = {20ms, 40ms};
  script({MetadataOp::remove("/brokers/ids/1", -1)});
  auto first_lost = [&] { return data(paths::state(TopicName("topic-0"), PartitionId(0))).contains("\"leader\":-1"); };
  for (int i = 0; i < 100 && !first_lost(); ++i) world.run_for(10ms);
  ASSERT_TRUE(first_lost());
  if (data("/brokers/ids/1") == "(none)") script({MetadataOp::create("/brokers/ids/1", registration)});
  ASSERT_EQ(view(one)->topics().size(), std::size_t{kTopics});
  auto led = [&] {
    auto now = view(one);
    return std::ranges::count_if(now->topics(), [](const auto& topic) {
      const auto& partition = topic.second->partitions.front();
      return partition.leader == BrokerId(1) && partition.leader_epoch > Epoch(0);
    });
  };
  EXPECT_TRUE(eventually([&] { return led() == kTopics; })) << "led again: " << led();
}

TEST_F(ClusterTest, DeletingTheControllerZnodeForcesAnElection) {
  auto& one = start(1);
  script({MetadataOp::remove("/controller", -1)});
  ASSERT_TRUE(eventually([&] { return data("/controller_epoch") == "2" && one.controller.elected(); }));
  EXPECT_TRUE(create(one, "orders"));
}

TEST_F(ClusterTest, ADeposedControllerCannotWrite) {
  auto& one = start(1);
  // Somebody else has become controller, and this one has not heard of it.
  script({MetadataOp::set("/controller_epoch", "9", -1)});
  EXPECT_EQ(create(one, "orders").error().code, ErrorCode::kNotController);
  EXPECT_EQ(data("/brokers/topics/orders"), "(none)");
  // Nobody had, in fact; so it stands again.
  EXPECT_TRUE(eventually([&] { return one.controller.elected(); }));
  EXPECT_EQ(data("/controller_epoch"), "10");
}

TEST_F(ClusterTest, ARestartedBrokerWaitsForItsOldRegistration) {
  auto& one = start(1);
  (void)one;
  auto& other = world.machine();
  Session same(other.env(), self_of(1));
  auto refused = test::run(world, other, same.start(world.now() + 3s));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(ClusterTest, ManyTopicsComeThroughAStoreThatFails) {
  auto& one = start(1);
  set_log_level(error);
  one.machine.faults().metadata_failure_rate = 0.1;
  int made = 0;
  for (int i = 0; i < 60; ++i) {
    auto name = "topic-" + std::to_string(i);
    auto created = create(one, name, 2);
    bool exists = created || created.error().code == ErrorCode::kTopicAlreadyExists;
    made += exists ? 1 : 0;
    if (i % 3 == 0) (void)run(one, one.controller.delete_topic(TopicName(name), {}, soon()));
  }
  one.machine.faults().metadata_failure_rate = 0;
  set_log_level(info);
  EXPECT_GT(made, 10);
  world.run_for(20s);
  // With the faults healed every topic in the tree is whole, and the view is the tree.
  auto& tool = world.machine();
  auto names = test::run(world, tool, tool.metadata().children("/brokers/topics"));
  ASSERT_TRUE(names);
  EXPECT_EQ(view(one)->topics().size(), names->size());
  for (const auto& [name, topic] : view(one)->topics()) {
    EXPECT_FALSE(topic->deleting);
    for (const auto& partition : topic->partitions) EXPECT_EQ(partition.leader, BrokerId(1)) << name.value();
  }
  EXPECT_EQ(data("/admin/delete_topics/topic-0"), "(none)");
}

}  // namespace
}  // namespace forelog::cluster
