// What a whole broker answers on its admin listener.
#include "tests/simulation/lone_broker.h"
#include "tests/support/run_task.h"

#include <array>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

Task<void> start_with_admin(std::unique_ptr<Broker>& broker, env::Env& env, AllSettings settings) {
  settings.broker.admin_listeners = {"m0:9600"};
  broker = std::make_unique<Broker>(env, std::move(settings));
  EXPECT_TRUE((co_await broker->start()).has_value());
}

Task<void> create_topic(env::Env& env, std::string name) {
  wire::CreateTopicsRequest request;
  request.topics.push_back({TopicName(std::move(name)), 1, 1, {}, {}});
  auto answer = co_await ask(env, std::move(request), 7);
  EXPECT_EQ(answer.topics.at(0).error_code.code, 0);
}

Task<std::string> ask_page(env::Env& env, std::string method, std::string target) {
  auto deadline = env.clock.now() + 30s;
  auto connection = *co_await env.network.connect({"m0", 9600}, deadline);
  auto request = method + " " + target + " HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  Slices slices{Buffer::take(std::move(request))};
  EXPECT_TRUE(co_await connection->write(std::move(slices), deadline));
  std::string answer;
  std::array<std::byte, 4096> room{};
  while (true) {
    auto size = co_await connection->read(room, deadline);
    if (!size || *size == 0) break;
    answer += as_text(ByteView(room).first(*size));
  }
  connection->close();
  co_return answer;
}

class AdminPages : public testing::Test {
 protected:
  void start(AllSettings settings = lone_broker_settings()) {
    test::run(world, machine, start_with_admin(broker, machine.env(), std::move(settings)));
  }
  ~AdminPages() override { test::run(world, machine, broker->stop()); }
  // The status of the answer.
  std::string warm(const std::string& query) {
    auto answer = page("POST", "/api/warm?topic=orders&" + query);
    return answer.substr(0, answer.find("\r\n"));
  }
  std::vector<std::string> metric(const std::string& name) {
    std::istringstream lines(page("GET", "/metrics"));
    std::vector<std::string> values;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with(name)) values.push_back(line.substr(line.rfind(' ') + 1));
    return values;
  }
  std::string page(std::string method, std::string target) {
    return test::run(world, clients, ask_page(clients.env(), std::move(method), std::move(target)));
  }

  env::SimulatedWorld world{5};
  env::SimulatedMachine& machine = world.machine(2);
  env::SimulatedMachine& clients = world.machine(1);
  std::unique_ptr<Broker> broker;
};

TEST_F(AdminPages, AWarmRequestNamesATimeThatIsUnderstoodToItsEndOrIsRefused) {
  start();
  test::run(world, clients, create_topic(clients.env(), "orders"));
  for (const auto* time : {"2026-11-23T10:00:00Z", "2026-11-23T10:00:00", "2026-11-23T10:00:00.250Z",
                           "2026-11-23T10:00", "2026-11-23", "@1790000000000", "120"})
    EXPECT_EQ(warm("from=" + std::string(time)), "HTTP/1.1 200 OK") << time;
  for (const auto* time : {"2026-11-23T10:00:00%2B02:00", "2026-11-23T10:00:00-05:00", "2026-11-23T10:00:00.5-05:00",
                           "2026-11-23T25:00:00Z", "2026-11-23T10:99", "2026-11-23 10:00", "2026-11-231", "2026-11-23T",
                           "2026-11", "-1", ""})
    EXPECT_EQ(warm("from=" + std::string(time)), "HTTP/1.1 400 Bad Request") << time;
}

TEST_F(AdminPages, WhatIsNoSumIsShownForEachCore) {
  start();
  // What is guessed until something was loaded.
  EXPECT_EQ(metric("forelog_prefetch_load_latency_microseconds"), (std::vector<std::string>{"50000", "50000"}));
}

TEST_F(AdminPages, WithoutRequestsASecondNothingIsPrefetched) {
  auto settings = lone_broker_settings();
  settings.prefetch.requests_per_second = 0;
  start(std::move(settings));
  EXPECT_EQ(metric("forelog_prefetch_budget_requests"), std::vector<std::string>{"0"});
}

}  // namespace
}  // namespace forelog::simulation
