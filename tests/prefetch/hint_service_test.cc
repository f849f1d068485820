#include "broker/prefetch/hint_service.h"

#include "broker/prefetch/access_records.h"
#include "hint_service/HintService.h"

#include <atomic>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>
#include <unistd.h>

namespace forelog::prefetch {
namespace {

namespace transport = apache::thrift::transport;
namespace protocol = apache::thrift::protocol;

class StoppedClock final : public env::Clock {
 public:
  Instant now() const override { return Instant(100s); }
  WallTime wall() const override { return from_ms(1'700'000'000'000); }
  TimerId wake_at(Instant, env::WaiterPtr) override { return 0; }
  void cancel(TimerId) override {}
};

// Takes every plan and answers from another thread, as cores do; or never answers.
class Sink final : public HintSink {
 public:
  void offer(std::vector<Plan> plans, Done done) override {
    std::vector<PlanAnswer> answers;
    {
      std::lock_guard lock(mutex);
      for (const auto& plan : plans) {
        answers.push_back(answer);
        answers.back().plan = plan.id;
        taken.push_back(plan);
      }
      if (is_silent) {
        kept.push_back(std::move(done));
        return;
      }
    }
    std::jthread([done = std::move(done), answers = std::move(answers)]() mutable { done(std::move(answers)); });
  }
  std::mutex mutex;
  std::vector<Plan> taken;
  std::vector<Done> kept;
  PlanAnswer answer;
  std::atomic<bool> is_silent = false;
};

thrift::Plan warm(std::int64_t id) {
  thrift::Hint hint;
  hint.topic_id = to_thrift(TopicId{{1, 2, 3}});
  hint.partition = 4;
  thrift::OffsetRange offsets;
  offsets.from_offset = 10;
  offsets.to_offset = 20;
  hint.range.__set_offsets(offsets);
  hint.score = 0.7;
  thrift::Plan plan;
  plan.plan_id = id;
  plan.score = 0.8;
  plan.byte_budget = 1_MiB;
  plan.reason = thrift::Reason::TWIN;
  plan.expires_in_ms = 5000;
  thrift::WarmPlan body;
  body.hints = {hint};
  body.needed_in_us = 250'000;
  plan.body.__set_warm(body);
  return plan;
}

class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(std::make_shared<transport::TSocket>("127.0.0.1", port)) {
    socket_->setRecvTimeout(10'000);
    auto framed = std::make_shared<transport::TFramedTransport>(socket_);
    service.emplace(std::make_shared<protocol::TCompactProtocol>(framed));
    framed->open();
  }
  thrift::PlanAnswer offer(const thrift::Plan& plan) { return offer(std::vector{plan}).at(0); }
  std::vector<thrift::PlanAnswer> offer(const std::vector<thrift::Plan>& plans) {
    std::vector<thrift::PlanAnswer> answers;
    service->offer(answers, plans);
    return answers;
  }
  std::optional<thrift::HintServiceClient> service;

 private:
  std::shared_ptr<transport::TSocket> socket_;
};

class HintServiceTest : public testing::Test {
 protected:
  void start(HintServiceSettings settings = {}) {
    settings.listeners = "127.0.0.1:0";
    service.emplace(clock, sink, HintServiceInfo{BrokerId{3}, "10.0.0.9:9192", 42, true}, settings);
    auto at = service->start();
    ASSERT_TRUE(at.has_value());
    port = at->port;
  }
  // Sends raw bytes and says whether the other side closed without an answer.
  bool is_closed_after(const std::string& bytes) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    timeval limit{10, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char answer = 0;
    auto got = ::recv(fd, &answer, 1, 0);
    ::close(fd);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

  StoppedClock clock;
  Sink sink;
  std::optional<HintService> service;
  std::uint16_t port = 0;
};

TEST_F(HintServiceTest, DescribesTheBroker) {
  start();
  Client client(port);
  thrift::BrokerInfo info;
  client.service->describe(info);
  EXPECT_EQ(info.broker_id, 3);
  EXPECT_EQ(info.hint_endpoint, "10.0.0.9:9192");
  EXPECT_EQ(info.boot_id, 42);
  EXPECT_EQ(info.format_version, kAccessLogFormat);
  EXPECT_TRUE(info.takes_plans);
}

TEST_F(HintServiceTest, APlanArrivesInOurWords) {
  start();
  Client client(port);
  auto answer = client.offer(warm(7));
  EXPECT_EQ(answer.plan_id, 7);
  EXPECT_EQ(answer.status, thrift::PlanStatus::ACCEPTED);
  ASSERT_EQ(sink.taken.size(), 1U);
  const auto& plan = sink.taken[0];
  EXPECT_EQ(plan.id, PlanId{7});
  EXPECT_EQ(plan.reason, Reason::twin);
  EXPECT_EQ(plan.received, clock.now());
  EXPECT_EQ(plan.expires, clock.now() + 5s);
  const auto& body = std::get<WarmPlan>(plan.body);
  EXPECT_EQ(body.needed_by, clock.now() + 250ms);
  EXPECT_EQ(body.hints.at(0).partition, (PartitionKey{TopicId{{1, 2, 3}}, PartitionId{4}}));
  EXPECT_EQ(std::get<OffsetRange>(body.hints.at(0).range), (OffsetRange{Offset{10}, Offset{20}}));
}

TEST_F(HintServiceTest, AReasonThatOnlyANewerPredictorHasIsTakenAsOther) {
  start();
  Client client(port);
  auto newer = warm(7);
  const std::int32_t unknown = 77;
  std::memcpy(&newer.reason, &unknown, sizeof unknown);
  EXPECT_EQ(client.offer(newer).status, thrift::PlanStatus::ACCEPTED);
  ASSERT_EQ(sink.taken.size(), 1U);
  EXPECT_EQ(sink.taken[0].reason, Reason::other);
}

TEST_F(HintServiceTest, EachPlanOfACallHasItsAnswerInItsPlace) {
  start();
  Client client(port);
  std::vector<thrift::Plan> plans{warm(1), warm(2), warm(3), warm(4), warm(5)};
  plans[1].score = 17;
  plans[2].body = {};
  plans[3].reason = thrift::Reason::SEQUENTIAL;
  auto answers = client.offer(plans);
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_EQ(answers[0].status, thrift::PlanStatus::ACCEPTED);
  EXPECT_EQ(answers[1].refusal, thrift::Refusal::MALFORMED);
  EXPECT_EQ(answers[1].detail, "score");
  EXPECT_EQ(answers[2].detail, "body");
  EXPECT_EQ(answers[3].detail, "reason") << "only the broker itself reads ahead";
  EXPECT_EQ(answers[4].status, thrift::PlanStatus::ACCEPTED);
  EXPECT_EQ(answers[4].plan_id, 5);
  EXPECT_EQ(service->counts().plans_accepted, 2);
  EXPECT_EQ(service->counts().plans_refused, 3);
}

TEST_F(HintServiceTest, TheOwnerIsNamed) {
  start();
  sink.answer.refusal = Refusal::unknown_partition;
  sink.answer.owner = Owner{BrokerId{8}, "b8:9192"};
  Client client(port);
  auto answer = client.offer(warm(7));
  EXPECT_EQ(answer.status, thrift::PlanStatus::NOT_OWNER);
  EXPECT_EQ(answer.owner.broker_id, 8);
  EXPECT_EQ(answer.owner.hint_endpoint, "b8:9192");
}

TEST_F(HintServiceTest, ExtremeNumbersAreRefusedOrBroughtIntoBounds) {
  start();
  Client client(port);
  auto far = warm(1);
  far.body.warm.needed_in_us = far.expires_in_ms = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(client.offer(far).status, thrift::PlanStatus::ACCEPTED);
  EXPECT_LE(sink.taken.at(0).expires, clock.now() + 31 * 24h);
  auto past = warm(2);
  past.body.warm.needed_in_us = past.expires_in_ms = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(client.offer(past).status, thrift::PlanStatus::ACCEPTED) << "the runner refuses it as expired";
  EXPECT_LT(sink.taken.at(1).expires, clock.now());
  auto upside_down = warm(3);
  upside_down.body.warm.hints[0].range.offsets.from_offset = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(client.offer(upside_down).detail, "hint.range");
  auto session = warm(4);
  session.body = {};
  thrift::SchedulePlan body;
  body.heads = warm(4).body.warm.hints;
  body.expected_wall_ms = body.keep_until_wall_ms = body.jitter_ms = std::numeric_limits<std::int64_t>::max();
  session.body.__set_schedule(body);
  EXPECT_EQ(client.offer(session).refusal, thrift::Refusal::MALFORMED);
  auto topic = warm(5);
  topic.body.warm.hints[0].topic_id = "short";
  EXPECT_EQ(client.offer(topic).detail, "topic_id");
}

TEST_F(HintServiceTest, WhatIsNoThriftClosesTheConnectionAndHarmsNobody) {
  start();
  std::string noise;
  for (std::uint32_t i = 0, state = 1; i < 4000; ++i)
    noise.push_back(static_cast<char>((state = state * 1664525 + 1013904223) >> 24));
  EXPECT_TRUE(is_closed_after(std::string("\x00\x00\x00\x04", 4) + "GET "));
  EXPECT_TRUE(is_closed_after("GET / HTTP/1.1\r\n\r\n")) << "read as a frame of more than a gigabyte";
  EXPECT_TRUE(is_closed_after(std::string("\x7f\xff\xff\xff", 4))) << "a huge frame is not waited for";
  EXPECT_TRUE(is_closed_after(std::string("\xff\xff\xff\xff", 4))) << "nor a negative one";
  EXPECT_TRUE(is_closed_after(std::string("\x00\x00\x0f\xa0", 4) + noise));
  // A call of "offer" with a list that claims two billion plans.
  std::string lying("\x82\x21\x01\x05offer\x19\xfc\xff\xff\xff\xff\x07", 16);
  is_closed_after(std::string("\x00\x00\x00", 3) + static_cast<char>(lying.size()) + lying);
  Client client(port);
  EXPECT_EQ(client.offer(warm(7)).status, thrift::PlanStatus::ACCEPTED);
  EXPECT_GE(service->counts().connections_broken, 5);
}

TEST_F(HintServiceTest, AFrameLongerThanAllowedIsNotTaken) {
  HintServiceSettings settings;
  settings.frame_max = 4_KiB;
  start(settings);
  Client client(port);
  EXPECT_THROW(client.offer(std::vector<thrift::Plan>(1000, warm(1))), apache::thrift::TException);
  EXPECT_TRUE(sink.taken.empty());
}

TEST_F(HintServiceTest, AFloodIsRefusedNotQueued) {
  HintServiceSettings settings;
  settings.plans_waiting_max = 100;
  start(settings);
  Client client(port);
  auto answers = client.offer(std::vector<thrift::Plan>(101, warm(1)));
  ASSERT_EQ(answers.size(), 101U);
  for (const auto& answer : answers) EXPECT_EQ(answer.refusal, thrift::Refusal::OVERLOADED);
  EXPECT_TRUE(sink.taken.empty());
  EXPECT_EQ(client.offer(std::vector<thrift::Plan>(100, warm(1)))[99].status, thrift::PlanStatus::ACCEPTED)
      << "room again";
}

TEST_F(HintServiceTest, ACallInProgressCountsAgainstTheNext) {
  HintServiceSettings settings;
  settings.plans_waiting_max = 10;
  start(settings);
  sink.is_silent = true;
  std::jthread waiting([this] {
    Client client(port);
    EXPECT_EQ(client.offer(std::vector<thrift::Plan>(10, warm(1))).size(), 10U);
  });
  auto has_arrived = [this] {
    std::lock_guard lock(sink.mutex);
    return !sink.kept.empty();
  };
  while (!has_arrived()) std::this_thread::yield();
  Client second(port);
  EXPECT_EQ(second.offer(warm(2)).refusal, thrift::Refusal::OVERLOADED);
  sink.kept.at(0)(std::vector<PlanAnswer>(10));
}

TEST_F(HintServiceTest, CoresThatNeverAnswerHoldNoCallForever) {
  start();
  sink.is_silent = true;
  Client client(port);
  EXPECT_EQ(client.offer(warm(7)).refusal, thrift::Refusal::OVERLOADED);
  // Answers that come too late go nowhere.
  sink.kept.at(0)({});
}

TEST_F(HintServiceTest, StoppingAnswersWhoWaitsAndEndsEveryThread) {
  start();
  sink.is_silent = true;
  Client idle(port);
  thrift::BrokerInfo info;
  idle.service->describe(info);
  std::jthread waiting([this] {
    Client client(port);
    try {
      EXPECT_EQ(client.offer(warm(7)).refusal, thrift::Refusal::STOPPING);
    } catch (const apache::thrift::TException&) {
      // Its connection was interrupted before the answer went out: as good.
    }
  });
  auto has_arrived = [this] {
    std::lock_guard lock(sink.mutex);
    return !sink.kept.empty();
  };
  while (!has_arrived()) std::this_thread::yield();
  service->stop();
  EXPECT_THROW(Client(port).service->describe(info), apache::thrift::TException);
}

TEST_F(HintServiceTest, ATakenOrNonsensicalAddressIsAnError) {
  start();
  HintServiceSettings settings;
  settings.listeners = "127.0.0.1:" + std::to_string(port);
  HintService second(clock, sink, {}, settings);
  auto started = second.start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kIo);
  for (const auto* nonsense : {"9192", "localhost:", "localhost:http", "localhost:99999"}) {
    settings.listeners = nonsense;
    EXPECT_EQ(HintService(clock, sink, {}, settings).start().error().code, ErrorCode::kInvalidSetting) << nonsense;
  }
}

}  // namespace
}  // namespace forelog::prefetch
