// What happens to a frame before a handler sees it: Kafka's rules for what cannot be understood.
#include "broker/api/dispatch.h"

#include "broker/base/log.h"
#include "broker/cluster/controller.h"
#include "broker/groups/settings.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/codec.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::api {
namespace {

// No handler that is called here looks at more than the environment.
class DispatchTest : public testing::Test {
 protected:
  DispatchTest()
      : world(3),
        machine(world.machine()),
        cluster(machine.env().cores, machine.env().metadata, BrokerId(0), {}),
        controller(machine.env(), cluster, BrokerId(0), catalog),
        services{machine.env(), BrokerId(0), broker, service, group, cluster, controller, {}},
        dispatcher(services, registry) {
    set_log_sink([this](LogLevel, std::string_view line) {
      if (line.find("connection_refused") != std::string_view::npos) lines.emplace_back(line);
    });
  }
  ~DispatchTest() override { set_log_sink({}); }

  Reply handle(Buffer frame) {
    Request request{std::move(frame), client, world.now()};
    return test::run(world, machine, dispatcher.handle(std::move(request)));
  }
  // A request's frame without its length.
  static Buffer request(std::int16_t key, std::int16_t version, std::string_view body = "",
                        std::string_view id = "test") {
    ByteWriter out;
    out.i16(key);
    out.i16(version);
    out.i32(42);
    out.i16(static_cast<std::int16_t>(id.size()));
    out.text(id);
    out.text(body);
    return std::move(out).take_buffer();
  }
  double refused() { return metric("forelog_requests_refused_total"); }
  double metric(std::string_view name) {
    MetricsSnapshot snapshot;
    registry.collect(snapshot);
    auto text = metrics_text(snapshot);
    auto at = text.find("\n" + std::string(name) + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }

  env::SimulatedWorld world;
  env::SimulatedMachine& machine;
  MetricsRegistry registry;
  SettingsCatalog catalog;
  cluster::BrokerSettings broker;
  cluster::ServiceSettings service;
  groups::GroupSettings group;
  cluster::ClusterState cluster;
  cluster::Controller controller;
  Services services;
  Dispatcher dispatcher;
  std::shared_ptr<ClientInfo> client = std::make_shared<ClientInfo>();
  std::vector<std::string> lines;
};

TEST_F(DispatchTest, AnUnknownApiOrVersionClosesAndIsCounted) {
  EXPECT_TRUE(handle(request(999, 0)).close);
  EXPECT_TRUE(handle(request(1, 99)).close);
  EXPECT_TRUE(handle(request(0, 0)).close) << "Produce v0 is too old";
  EXPECT_EQ(refused(), 3);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_NE(lines[1].find("api key 1 version 99"), std::string::npos) << lines[1];
}

TEST_F(DispatchTest, AHeaderThatDoesNotFitClosesAndIsCounted) {
  for (std::size_t size = 0; size < 8; ++size) EXPECT_TRUE(handle(request(18, 0).slice(0, size)).close) << size;
  ByteWriter runs_over;
  runs_over.i16(3);
  runs_over.i16(1);
  runs_over.i32(1);
  runs_over.i16(30000);
  runs_over.text("short");
  EXPECT_TRUE(handle(std::move(runs_over).take_buffer()).close);
  EXPECT_EQ(refused(), 9);
}

TEST_F(DispatchTest, AnUnsupportedVersionOfApiVersionsIsAnsweredInVersionZero) {
  auto reply = handle(request(18, 77, "anything at all"));
  EXPECT_FALSE(reply.close);
  auto frame = flatten(reply.slices).slice(4);
  auto parsed = wire::parse_response(frame, wire::row_of(wire::ApiKey::kApiVersions), 0);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->correlation_id, 42);
  auto answer = wire::decode<wire::ApiVersionsResponse>(parsed->body, 0);
  ASSERT_TRUE(answer) << answer.error().text();
  EXPECT_EQ(answer->error_code, wire::WireError(ErrorCode::kUnsupportedVersion));
  EXPECT_EQ(refused(), 0);
}

TEST_F(DispatchTest, ABodyThatDoesNotFitClosesAndNamesTheField) {
  // Metadata v1 with an array that claims two thousand million topics.
  EXPECT_TRUE(handle(request(3, 1, std::string_view("\x7f\xff\xff\xf0", 4))).close);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("Metadata v1: field topics"), std::string::npos) << lines[0];
}

TEST_F(DispatchTest, ARequestThatNamesTooMuchClosesAndSaysHowMuchIsAllowed) {
  ByteWriter names;
  names.i32(200'001);
  for (int i = 0; i < 200'001; ++i) names.text(std::string_view("\0\1a", 3));
  EXPECT_TRUE(handle(request(3, 1, std::move(names).take())).close);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("Metadata of 200001 items; a request may have 200000"), std::string::npos) << lines[0];
  // Those within others count, too: OffsetFetch v1 of one topic with as many partitions.
  ByteWriter partitions;
  partitions.text(std::string_view("\0\1g\0\0\0\1\0\1t", 10));
  partitions.i32(200'000);
  for (int i = 0; i < 200'000; ++i) partitions.i32(i);
  EXPECT_TRUE(handle(request(9, 1, std::move(partitions).take())).close);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[1].find("OffsetFetch of 200001 items"), std::string::npos) << lines[1];
}

TEST_F(DispatchTest, TheClientIsKnownByTheIdOfItsLatestRequest) {
  EXPECT_FALSE(handle(request(18, 0, "", "first")).close);
  EXPECT_EQ(client->client_id, "first");
  EXPECT_FALSE(handle(request(18, 0, "", "second")).close);
  EXPECT_EQ(client->client_id, "second");
}

TEST_F(DispatchTest, BytesBehindARequestAreIgnoredAsKafkaDoes) {
  EXPECT_FALSE(handle(request(18, 0, "surplus")).close);
  EXPECT_EQ(refused(), 0);
}

TEST_F(DispatchTest, AStormOfBadRequestsIsCountedInFullButLoggedInPart) {
  for (int i = 0; i < 1000; ++i) handle(request(999, 0));
  EXPECT_EQ(refused(), 1000);
  EXPECT_EQ(lines.size(), 10U);
  world.run_for(2s);
  handle(request(999, 0));
  ASSERT_EQ(lines.size(), 11U);
  EXPECT_NE(lines.back().find("lines_left_out=990"), std::string::npos) << lines.back();
}

}  // namespace
}  // namespace forelog::api
