#include "broker/cluster/topic_rules.h"

#include "broker/base/log.h"
#include "broker/log/topic_settings.h"

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

ClusterViewPtr view() {
  ClusterViewBuilder builder;
  for (int id : {1, 2, 3}) {
    BrokerView broker;
    broker.id = BrokerId(id);
    builder.broker(std::move(broker));
  }
  TopicView topic;
  topic.name = TopicName("orders.eu");
  builder.topic(std::move(topic));
  return std::move(builder).build();
}

Error create(NewTopic topic) {
  auto plan = plan_topic(topic, *view(), ServiceSettings{}, 0);
  return plan ? Error{} : plan.error();
}
NewTopic named(std::string name, std::int32_t partitions = -1, std::int16_t factor = -1) {
  NewTopic topic;
  topic.name = TopicName(std::move(name));
  topic.partitions = partitions;
  topic.replication_factor = factor;
  return topic;
}

SettingsCatalog catalog() {
  SettingsCatalog out;
  out.add<ServiceSettings>("Service");
  out.add<log::TopicSettings>("Topics");
  return out;
}
Result<SettingMap> change(SettingMap now, std::vector<ConfigChange> changes,
                          ConfigResource::Kind kind = ConfigResource::Kind::topic) {
  return changed_configs(std::move(now), changes, catalog(), {{"log.cleanup.policy", "compact"}}, kind);
}

TEST(TopicName, FollowsKafkasRules) {
  for (const auto& legal : {std::string("a"), std::string("A-b_c.9"), std::string("..."), std::string(249, 'x')})
    EXPECT_TRUE(check_topic_name(TopicName(legal)));
  for (const auto& illegal :
       {std::string(), std::string("."), std::string(".."), std::string(250, 'x'), std::string("a b"),
        std::string("a/b"), std::string("\xc3\xa9"), std::string("a\0b", 3)}) {
    auto checked = check_topic_name(TopicName(illegal));
    ASSERT_FALSE(checked) << illegal;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidTopic);
  }
}

TEST(PlanTopic, RefusesWithKafkasCodes) {
  EXPECT_EQ(create(named("orders.eu")).code, ErrorCode::kTopicAlreadyExists);
  EXPECT_EQ(create(named("orders_eu")).code, ErrorCode::kInvalidTopic);
  EXPECT_EQ(create(named("orders_eu")).context, "Topic 'orders_eu' collides with existing topics: orders.eu");
  EXPECT_EQ(create(named("t", 0)).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create(named("t", 1'000'000)).code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(create(named("t", 1, 4)).code, ErrorCode::kInvalidReplicationFactor);
  EXPECT_EQ(create(named("t", 1, 0)).code, ErrorCode::kInvalidReplicationFactor);
  auto both = named("t", 1);
  both.assignment = {{PartitionId(0), {BrokerId(1)}}};
  EXPECT_EQ(create(both).code, ErrorCode::kInvalidRequest);
  both.partitions = -1;
  both.assignment[PartitionId(0)] = {BrokerId(9)};
  EXPECT_EQ(create(both).code, ErrorCode::kInvalidReplicaAssignment);
}

TEST(PlanTopic, TakesDefaultsOrTheAssignmentGiven) {
  auto plan = plan_topic(named("t"), *view(), ServiceSettings{}, 0);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->size(), 1U);
  auto given = named("t");
  given.assignment = {{PartitionId(0), {BrokerId(3), BrokerId(1)}}};
  EXPECT_EQ(plan_topic(given, *view(), ServiceSettings{}, 0), given.assignment);
}

TEST(PlanPartitions, OnlyGrow) {
  std::map<PartitionId, Replicas> existing{{PartitionId(0), {BrokerId(1), BrokerId(2)}}};
  auto plan = [&](std::int32_t count, std::vector<Replicas> given = {}) {
    return plan_partitions(existing, count, given, *view(), 0);
  };
  auto grown = plan(3);
  ASSERT_TRUE(grown);
  EXPECT_EQ(grown->size(), 2U);
  EXPECT_EQ(grown->begin()->first, PartitionId(1));
  EXPECT_EQ(grown->begin()->second.size(), 2U);
  EXPECT_EQ(plan(1).error().context, "Topic already has 1 partitions.");
  EXPECT_EQ(plan(0).error().code, ErrorCode::kInvalidPartitions);
  EXPECT_EQ(plan(3, {{BrokerId(1), BrokerId(2)}}).error().code, ErrorCode::kInvalidReplicaAssignment);
  EXPECT_EQ(plan(2, {{BrokerId(1)}}).error().code, ErrorCode::kInvalidReplicaAssignment);
  EXPECT_TRUE(plan(2, {{BrokerId(3), BrokerId(2)}}));
}

TEST(ChangedConfigs, SetRemoveAppendAndSubtract) {
  EXPECT_EQ(change({{"a", "kept"}}, {{ConfigOp::set, "retention.ms", "5"}}),
            (SettingMap{{"a", "kept"}, {"retention.ms", "5"}}));
  EXPECT_EQ(change({{"unknown", "x"}}, {{ConfigOp::remove, "unknown", ""}}), SettingMap());
  // The list in force is the broker's, as long as the topic has none.
  EXPECT_EQ(change({}, {{ConfigOp::append, "cleanup.policy", "delete"}}),
            (SettingMap{{"cleanup.policy", "compact,delete"}}));
  EXPECT_EQ(change({{"cleanup.policy", "compact,delete"}}, {{ConfigOp::subtract, "cleanup.policy", "compact"}}),
            (SettingMap{{"cleanup.policy", "delete"}}));
}

TEST(ChangedConfigs, RefuseWhatIsNotLegal) {
  EXPECT_EQ(change({}, {{ConfigOp::set, "retention.ms", "x"}}).error().code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(change({}, {{ConfigOp::set, "nonsense", "1"}}).error().code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(change({}, {{ConfigOp::append, "retention.ms", "1"}}).error().code, ErrorCode::kInvalidConfig);
  EXPECT_EQ(change({}, {{ConfigOp::set, "retention.ms", "1"}, {ConfigOp::remove, "retention.ms", ""}}).error().code,
            ErrorCode::kInvalidRequest);
  auto broker = [](std::string name) {
    return change({}, {{ConfigOp::set, std::move(name), "1"}}, ConfigResource::Kind::broker);
  };
  EXPECT_TRUE(broker("num.partitions"));
  EXPECT_TRUE(broker("log.retention.ms"));
  EXPECT_EQ(broker("fetch.max.bytes").error().code, ErrorCode::kInvalidConfig);  // below its range
  EXPECT_EQ(broker("socket.request.max.bytes").error().code, ErrorCode::kInvalidRequest);
}

TEST(TopicSettings, ContradictionsAreRefused) {
  EXPECT_TRUE(check_topic_settings({}, {}));
  EXPECT_TRUE(check_topic_settings({{"retention.ms", "10"}, {"local.retention.ms", "10"}}, {}));
  EXPECT_FALSE(check_topic_settings({{"retention.ms", "10"}, {"local.retention.ms", "11"}}, {}));
  EXPECT_FALSE(check_topic_settings({{"local.retention.ms", "-1"}}, {}));
  EXPECT_TRUE(check_topic_settings({{"retention.ms", "-1"}, {"local.retention.ms", "-1"}}, {}));
  EXPECT_FALSE(check_topic_settings({{"retention.bytes", "5"}}, {{"log.local.retention.bytes", "6"}}));
  EXPECT_FALSE(check_topic_settings({{"remote.storage.enable", "true"}, {"cleanup.policy", "compact"}}, {}));
  EXPECT_FALSE(check_topic_settings({{"max.compaction.lag.ms", "5"}, {"min.compaction.lag.ms", "6"}}, {}));
}

TEST(ArchiveDefault, NewTopicsTakePartUnlessCompactedOrTheySaySo) {
  auto with = [](SettingMap overrides, SettingMap broker) {
    add_archive_default(overrides, broker);
    return overrides.contains("remote.storage.enable") ? overrides.at("remote.storage.enable") : "unset";
  };
  SettingMap archive{{"archive.url", "file:/a"}};
  EXPECT_EQ(with({}, archive), "true");
  EXPECT_EQ(with({}, {}), "unset");
  EXPECT_EQ(with({{"cleanup.policy", "compact"}}, archive), "unset");
  EXPECT_EQ(with({{"remote.storage.enable", "false"}}, archive), "false");
}

TEST(ResolvedSettings, AnIllegalOverrideOfAScriptCountsAsAbsent) {
  std::string logged;
  set_log_sink([&](LogLevel, std::string_view line) { logged += line; });
  auto settings =
      resolve_topic_settings({{"retention.ms", "x"}, {"segment.bytes", "99"}}, {{"log.retention.hours", "1"}});
  set_log_sink({});
  EXPECT_EQ(settings->retention, 1h);
  EXPECT_EQ(settings->segment_bytes, 99);
  EXPECT_NE(logged.find("retention.ms=x"), std::string::npos);
}

}  // namespace
}  // namespace forelog::cluster
