#include "predictor/hint_client.h"

#include "hint_service/HintService.h"

#include <condition_variable>
#include <future>
#include <mutex>

#include <gtest/gtest.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

namespace forelog::predictor {
namespace {

// A broker's hint service: keeps what it is offered, and answers as it is told.
class Broker final : public thrift::HintServiceNull {
 public:
  // Closes a connection that says nothing for `idle`; 0: keeps it.
  explicit Broker(std::chrono::milliseconds idle = {})
      : socket_(std::make_shared<apache::thrift::transport::TServerSocket>("127.0.0.1", 0)) {
    if (idle.count() > 0) socket_->setRecvTimeout(static_cast<int>(idle.count()));
    std::shared_ptr<Broker> self(this, [](Broker*) {});
    auto processor = std::make_shared<thrift::HintServiceProcessor>(self);
    server_ = std::make_unique<apache::thrift::server::TThreadedServer>(
        processor, socket_, std::make_shared<apache::thrift::transport::TFramedTransportFactory>(),
        std::make_shared<apache::thrift::protocol::TCompactProtocolFactory>());
    server_->setServerEventHandler(events_);
    thread_ = std::thread([this] { server_->serve(); });
    events_->listens.get_future().wait();
  }
  ~Broker() override {
    server_->stop();
    thread_.join();
  }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(socket_->getPort()); }

  void offer(std::vector<thrift::PlanAnswer>& answers, const std::vector<thrift::Plan>& plans) override {
    std::scoped_lock lock(mutex_);
    for (const auto& plan : plans) {
      thrift::PlanAnswer answer;
      answer.plan_id = plan.plan_id;
      answer.status = thrift::PlanStatus::ACCEPTED;
      if (!owner.empty()) {
        thrift::Owner elsewhere;
        elsewhere.hint_endpoint = owner;
        answer.status = thrift::PlanStatus::NOT_OWNER;
        answer.__set_owner(elsewhere);
      }
      answers.push_back(answer);
      plans_.push_back(plan);
    }
    arrived_.notify_all();
  }
  // What had been offered when there were `count` of them; fewer when they do not come.
  std::vector<thrift::Plan> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return plans_.size() >= count; });
    return plans_;
  }

  // Until the broker has closed its first connection.
  void wait_for_close() {
    auto closed = events_->closed.get_future();
    ASSERT_EQ(closed.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  }

  std::string owner;  // answers "not mine, but of the broker there"; set before anybody calls

 private:
  struct Events final : apache::thrift::server::TServerEventHandler {
    void preServe() override { listens.set_value(); }
    void deleteContext(void*, std::shared_ptr<apache::thrift::protocol::TProtocol>,
                       std::shared_ptr<apache::thrift::protocol::TProtocol>) override {
      if (!has_closed.exchange(true)) closed.set_value();
    }
    std::promise<void> listens, closed;
    std::atomic<bool> has_closed{false};
  };
  std::shared_ptr<apache::thrift::transport::TServerSocket> socket_;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();
  std::unique_ptr<apache::thrift::server::TThreadedServer> server_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<thrift::Plan> plans_;
};

Outgoing outgoing(const std::string& endpoint, std::uint64_t id, Instant expires = Instant(100s)) {
  prefetch::Plan plan;
  plan.id = prefetch::PlanId(id);
  plan.expires = expires;
  plan.byte_budget = 1;
  PartitionKey key{.topic = {{1}}, .partition = PartitionId(0)};
  plan.body = prefetch::WarmPlan{.hints = {{key, prefetch::OffsetRange{Offset(0), Offset(1)}, 0.5, 1}},
                                 .needed_by = Instant(11s)};
  return {endpoint, std::move(plan)};
}
Instant ten_seconds() { return Instant(10s); }

TEST(HintClient, PlansArriveInOrderWithTheirMomentsAsSpans) {
  Broker broker;
  HintClient client({}, &ten_seconds);
  for (std::uint64_t id = 1; id <= 50; ++id) client.offer({outgoing(broker.endpoint(), id)});
  auto plans = broker.wait_for(50);
  ASSERT_EQ(plans.size(), 50U);
  for (std::size_t i = 0; i < plans.size(); ++i) EXPECT_EQ(plans[i].plan_id, static_cast<std::int64_t>(i + 1));
  EXPECT_EQ(plans[0].body.warm.needed_in_us, 1'000'000);
  EXPECT_EQ(plans[0].expires_in_ms, 90'000);
}

TEST(HintClient, WhatHasExpiredIsNotSent) {
  Broker broker;
  HintClient client({}, &ten_seconds);
  client.offer({outgoing(broker.endpoint(), 1, Instant(9s)), outgoing(broker.endpoint(), 2)});
  auto plans = broker.wait_for(1);
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(plans[0].plan_id, 2);
  EXPECT_EQ(client.counts().dropped, 1);
}

TEST(HintClient, APlanGoesToTheOwnerThatItsBrokerNamesButOnlyOnce) {
  Broker owner, other;
  other.owner = owner.endpoint();
  owner.owner = other.endpoint();  // they disagree: the plan must not go to and fro
  {
    HintClient client({}, &ten_seconds);
    client.offer({outgoing(other.endpoint(), 7)});
    EXPECT_EQ(owner.wait_for(1).size(), 1U);
  }
  EXPECT_EQ(other.wait_for(1).size(), 1U);
}

TEST(HintClient, ABrokerThatIsAwayHoldsNobodyUp) {
  std::string endpoint;
  {
    endpoint = Broker().endpoint();
  }  // nobody listens there any more
  Broker alive;
  HintClient client({.retry_min = 5ms, .retry_max = 20ms}, &ten_seconds);
  client.offer({outgoing(endpoint, 1), outgoing("not an endpoint", 2), outgoing(alive.endpoint(), 3)});
  EXPECT_EQ(alive.wait_for(1).size(), 1U);
}

TEST(HintClient, AConnectionThatTheBrokerClosedForBeingIdleIsNoFailure) {
  Broker broker(std::chrono::milliseconds(1000));  // longer than a busy machine lets it wait for the first call
  HintClient client({.retry_min = 60s, .retry_max = 60s}, &ten_seconds);
  client.offer({outgoing(broker.endpoint(), 1)});
  EXPECT_EQ(broker.wait_for(1).size(), 1U);
  broker.wait_for_close();
  client.offer({outgoing(broker.endpoint(), 2)});
  EXPECT_EQ(broker.wait_for(2).size(), 2U) << "at once, not after a pause";
  EXPECT_EQ(client.counts().failures, 0);
}

TEST(HintClient, AFullQueueLetsTheOldestGo) {
  HintClient client({.waiting_max = 3, .retry_min = 1s, .retry_max = 1s}, &ten_seconds);
  for (std::uint64_t id = 1; id <= 100; ++id) client.offer({outgoing("not an endpoint", id)});
  EXPECT_GE(client.counts().dropped, 90);
}

}  // namespace
}  // namespace forelog::predictor
