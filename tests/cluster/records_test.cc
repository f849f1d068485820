#include "broker/cluster/records.h"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

// zk-schemas/examples/<name>.json: what Kafka 3.9.1 wrote, or what we add to it. Tests run from the source's root.
std::string example(const std::string& name) {
  std::ifstream file("zk-schemas/examples/" + name + ".json");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

template <class Record>
void expect_unchanged(const std::string& name) {
  auto text = example(name);
  auto record = from_json<Record>(text);
  ASSERT_TRUE(record) << name << ": " << record.error().text();
  EXPECT_EQ(to_json(*record), text);
}

TEST(Records, ExamplesAreReadAndWrittenBackUnchanged) {
  expect_unchanged<BrokerRecord>("broker");
  expect_unchanged<BrokerRecord>("broker-with-rack");
  expect_unchanged<TopicRecord>("topic");
  expect_unchanged<PartitionStateRecord>("partition-state");
  expect_unchanged<PartitionStateRecord>("partition-state-recovering");
  expect_unchanged<ControllerRecord>("controller");
  expect_unchanged<ConfigRecord>("config");
  expect_unchanged<ConfigNotification>("config-notification");
  expect_unchanged<ConfigNotification>("config-notification-v1");
  expect_unchanged<ClusterIdRecord>("cluster-id");
  expect_unchanged<ProducerIdBlockRecord>("producer-id-block");
  expect_unchanged<FeatureRecord>("feature");
  expect_unchanged<ChangesRecord>("changes");
}

TEST(Records, TopicsOfOldToolsAreReadWithoutTheirId) {
  auto v1 = from_json<TopicRecord>(R"({"version":1,"partitions":{"1":[2,1],"0":[1,2]}})");
  ASSERT_TRUE(v1);
  EXPECT_FALSE(v1->topic_id);
  EXPECT_EQ(v1->partitions.at(PartitionId(1)), (Replicas{BrokerId(2), BrokerId(1)}));
}

TEST(Records, OldBrokerRegistrationsAreRead) {
  auto v4 = from_json<BrokerRecord>(
      R"({"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://h:9092"],"jmx_port":-1,"host":"h","timestamp":"1","port":9092,"version":4})");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->port, 9092);
}

TEST(Paths, AreKafkas) {
  EXPECT_EQ(paths::state(TopicName("orders"), PartitionId(7)), "/brokers/topics/orders/partitions/7/state");
  EXPECT_EQ(paths::broker(BrokerId(3)), "/brokers/ids/3");
  EXPECT_EQ(paths::kBrokerDefaultConfig, "/config/brokers/<default>");
  EXPECT_EQ(paths::delete_topic(TopicName("a")), "/admin/delete_topics/a");
}

}  // namespace
}  // namespace forelog::cluster
