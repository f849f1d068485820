// lone_broker.h: a broker that a test starts by itself, on the first machine of its world, and what clients ask of it.
#pragma once

#include "broker/all_settings.h"
#include "broker/broker.h"
#include "broker/log/batch_builder.h"
#include "broker/wire/messages.h"
#include "tests/simulation/wire_client.h"

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace forelog::simulation {

inline AllSettings lone_broker_settings() {
  auto read = read_all_settings({{"listeners", "PLAINTEXT://m0:9092"},
                                 {"admin.listeners", ""},
                                 {"hint.listeners", ""},
                                 {"access.log.enable", "false"},
                                 {"log.dirs", "/data"}});
  CHECK(read.has_value());
  return *std::move(read);
}

inline Task<void> start(std::unique_ptr<Broker>& broker, env::Env& env) {
  broker = std::make_unique<Broker>(env, lone_broker_settings());
  auto started = co_await broker->start();
  EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().text());
}

inline Task<void> stop(std::unique_ptr<Broker>& broker) {
  co_await broker->stop();
  broker.reset();
}

template <class Request>
Task<typename Request::Response> ask(env::Env& env, Request request, int version) {
  WireClient client(env, "test");
  auto deadline = env.clock.now() + 30s;
  auto opened = co_await client.open({"m0", 9092}, deadline);
  EXPECT_TRUE(opened.has_value());
  auto answer = co_await client.call(std::move(request), static_cast<wire::Version>(version), deadline);
  EXPECT_TRUE(answer.has_value()) << (answer ? "" : answer.error().text());
  co_return answer ? *std::move(answer) : typename Request::Response{};
}

// For partition 0.
inline wire::ProduceRequest one_record(const std::string& topic) {
  wire::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 10000;
  log::BatchBuilder batch;
  batch.add(1'000'000, "key", "value");
  request.topic_data.push_back({TopicName(topic), {{PartitionId(0), wire::Records(std::move(batch).build())}}});
  return request;
}

}  // namespace forelog::simulation
