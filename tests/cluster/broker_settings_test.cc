#include "broker/cluster/broker_settings.h"

#include <gtest/gtest.h>

namespace forelog::cluster {
namespace {

std::string refusal(const SettingMap& settings) {
  auto broker = read_settings<BrokerSettings>(settings);
  auto service = read_settings<ServiceSettings>(settings);
  if (!broker) return broker.error().context;
  if (!service) return service.error().context;
  auto valid = validate(*broker, *service);
  return valid ? "" : valid.error().context;
}

TEST(Listeners, AreNameProtocolHostAndPort) {
  auto specs =
      parse_listeners({"internal://10.0.0.1:9092", "PLAINTEXT://:9093", "ssl://[::1]:0"}, "INTERNAL:PLAINTEXT");
  ASSERT_TRUE(specs) << specs.error().text();
  ASSERT_EQ(specs->size(), 3U);
  EXPECT_EQ(specs->at(0).name, "INTERNAL");
  EXPECT_EQ(specs->at(0).protocol, "PLAINTEXT");
  EXPECT_EQ(specs->at(0).port, 9092);
  EXPECT_EQ(specs->at(1).host, "");
  EXPECT_EQ(specs->at(2).host, "::1");
  EXPECT_EQ(specs->at(2).protocol, "SSL");
}

TEST(Listeners, AreRefusedByEntry) {
  for (std::string wrong : {"9092", "PLAINTEXT://host", "PLAINTEXT://host:70000", "PLAINTEXT://host:", "NEW://host:1",
                            "PLAINTEXT://::1:9092", "PLAINTEXT://[::1:9092"}) {
    auto specs = parse_listeners({wrong}, "");
    ASSERT_FALSE(specs) << wrong;
    EXPECT_NE(specs.error().context.find(wrong), std::string::npos);
  }
  EXPECT_FALSE(parse_listeners({"SSL://a:1", "ssl://b:2"}, ""));
  EXPECT_FALSE(parse_listeners({}, "A:NONSENSE"));
  EXPECT_FALSE(parse_listeners({}, "A"));
}

TEST(BrokerSettings, DefaultsAreValidAndKafkas) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(write_settings(ServiceSettings{}).at("fetch.max.bytes"), "57671680");
  EXPECT_EQ(write_settings(ServiceSettings{}).at("producer.id.expiration.ms"), "86400000");
  EXPECT_EQ(write_settings(ServiceSettings{}).at("connections.max.idle.ms"), "600000");
}

TEST(BrokerSettings, WhatCannotBeDoneYetIsRefusedWithTheReason) {
  EXPECT_NE(refusal({{"log.dirs", "/a,/b"}}).find("one directory"), std::string::npos);
  EXPECT_NE(refusal({{"listeners", "SSL://h:1"}}).find("only PLAINTEXT"), std::string::npos);
  EXPECT_NE(refusal({{"archive.url", "gs://bucket"}}).find("s3://bucket/prefix"), std::string::npos);
  EXPECT_NE(refusal({{"advertised.listeners", "PLAINTEXT://0.0.0.0:1"}}), "");
  EXPECT_NE(refusal({{"advertised.listeners", "SSL://h:1"}}), "");
  EXPECT_NE(refusal({{"listeners", ""}}), "");
  EXPECT_NE(refusal({{"listeners", "PLAINTEXT://0.0.0.0:1"}}).find("advertised.listeners"), std::string::npos);
  EXPECT_EQ(refusal({{"listeners", "PLAINTEXT://0.0.0.0:1"}, {"advertised.listeners", "PLAINTEXT://h:1"}}), "");
  EXPECT_NE(refusal({{"zookeeper.connect", "zk:2181"}}).find("embedded"), std::string::npos);
  EXPECT_EQ(refusal({{"log.dir", "/only"}, {"archive.url", "file:/archive"}}), "");
  EXPECT_EQ(refusal({{"archive.url", "s3://bucket/prefix"}}), "");
}

}  // namespace
}  // namespace forelog::cluster
