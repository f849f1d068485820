// One connection over the simulated network: what a client may do to it, and for how long.
#include "broker/api/connection.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "tests/support/run_task.h"

#include <array>
#include <set>

#include <gtest/gtest.h>

namespace forelog::api {
namespace {

// Answers a request with its own bytes; what begins with "wait" only when it is let go, what begins with "big" with as
// much as asked.
class Echo final : public RequestHandler {
 public:
  explicit Echo(env::Clock& clock) : clock_(clock), let_go_(clock) {}

  Task<Reply> handle(Request request) override {
    std::string text(request.frame.text());
    order.push_back(text);
    ++in_progress;
    most_in_progress = std::max(most_in_progress, in_progress);
    while (text.starts_with("wait") && !released.contains(text) && !request.client->closed)
      co_await let_go_.wait(clock_.now() + 1s);
    --in_progress;
    request.memory.release();
    Reply reply;
    if (text.starts_with("big") && bounded) {
      auto room = co_await bounded->for_answer(1_MiB, 1_MiB, kForever);
      if (room) reply.memory = *std::move(room);
    }
    reply.close = text.starts_with("close");
    if (text.starts_with("silent")) co_return reply;
    auto body = text.starts_with("big") ? std::string(static_cast<std::size_t>(1_MiB), 'b') : text;
    ByteWriter out;
    out.u32(static_cast<std::uint32_t>(body.size()));
    out.text(body);
    reply.slices.push_back(std::move(out).take_buffer());
    co_return reply;
  }
  void refused(const ClientInfo&, const Error& error) override { refusals.push_back(error.context); }
  RequestMemory* memory() override { return bounded ? &*bounded : nullptr; }
  void release(std::string text) {
    released.insert(std::move(text));
    let_go_.notify();
  }

  std::vector<std::string> order, refusals;
  std::set<std::string> released;
  MetricsRegistry registry;
  std::optional<RequestMemory> bounded;
  int in_progress = 0, most_in_progress = 0;

 private:
  env::Clock& clock_;
  Event let_go_;
};

std::string frame(std::string_view text) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(text.size()));
  out.text(text);
  return std::move(out).take();
}

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() : world(7), machine(world.machine()), client(world.machine()), handler(machine.env().clock) {
    limits.frame_size_max = 1_MiB;
    limits.idle_max = 60s;
    limits.frame_max = 20s;
    limits.send_turn_max = 30s;
  }
  ~ConnectionTest() override {
    if (served) served->close();
    EXPECT_TRUE(world.run_until([&] { return !served || ended; }, 1h)) << "a closed connection does not end";
  }

  void connect() { test::run(world, client, connect_both()); }
  Task<void> connect_both() {
    auto listener = co_await machine.env().network.listen({machine.host(), 9092});
    auto deadline = world.now() + 10s;
    auto mine = co_await client.env().network.connect({machine.host(), 9092}, deadline);
    CHECK(mine.has_value());
    socket = *std::move(mine);
    auto theirs = co_await (*listener)->accept(CoreId(0));
    CHECK(theirs.has_value());
    served = std::make_unique<Connection>(machine.env(), handler, *std::move(theirs), ClientInfo{}, limits);
    machine.cores().spawn(CoreId(0), serve(*this));
  }
  static Task<void> serve(ConnectionTest& self) {
    co_await self.served->run();
    co_await self.served->drain();
    self.ended = true;
  }

  Task<void> send_task(std::string bytes) {
    Slices slices{Buffer::copy_of(bytes)};
    auto deadline = world.now() + 100s;
    (void)co_await socket->write(std::move(slices), deadline);
  }
  void send(std::string bytes) { test::run(world, client, send_task(std::move(bytes))); }
  // The next answer; "(end)" when the broker has closed, "(silence)" when nothing comes within `patience`.
  Task<std::string> answer_task(Duration patience) {
    auto deadline = world.now() + patience;
    std::array<std::byte, 65536> room{};
    while (true) {
      ByteReader in(as_bytes(got));
      auto size = in.u32();
      if (in.ok() && in.remaining() >= size) {
        auto text = got.substr(4, size);
        got.erase(0, 4 + size);
        co_return text;
      }
      auto more = co_await socket->read(room, deadline);
      if (!more && more.error().code == ErrorCode::kTimeout) co_return "(silence)";
      if (!more || *more == 0) co_return "(end)";
      got += as_text(ByteView(room).first(*more));
    }
  }
  std::string answer(Duration patience = 5s) { return test::run(world, client, answer_task(patience)); }
  bool ends_within(Duration limit) {
    return world.run_until([&] { return ended; }, limit);
  }

  env::SimulatedWorld world;
  env::SimulatedMachine& machine;
  env::SimulatedMachine& client;
  Echo handler;
  ConnectionLimits limits;
  std::unique_ptr<Connection> served;
  env::ConnectionPtr socket;
  std::string got;
  bool ended = false;
};

TEST_F(ConnectionTest, AnswersComeInTheOrderOfTheRequestsWhateverEndsFirst) {
  connect();
  send(frame("wait for me") + frame("quick one") + frame("silent one") + frame("quick two"));
  EXPECT_EQ(answer(1s), "(silence)");
  EXPECT_EQ(handler.order.size(), 4U) << "later requests start all the same";
  handler.release("wait for me");
  EXPECT_EQ(answer(), "wait for me");
  EXPECT_EQ(answer(), "quick one");
  EXPECT_EQ(answer(), "quick two");
}

TEST_F(ConnectionTest, AClientThatIsGoneIsSeenWhileNothingMoreIsReadOfIt) {
  connect();
  std::string all;
  for (int i = 0; i < limits.requests_in_flight_max + 10; ++i) all += frame("wait for me");
  send(all);
  EXPECT_FALSE(ends_within(10s));
  EXPECT_EQ(handler.in_progress, limits.requests_in_flight_max);
  socket.reset();
  EXPECT_TRUE(ends_within(3s));
}

TEST_F(ConnectionTest, FramesMayComeInAnyPieces) {
  connect();
  auto bytes = frame("in pieces") + frame(std::string(100'000, 'x')) + frame("and small");
  send(bytes.substr(0, 2));
  world.run_for(10ms);
  send(bytes.substr(2, 5));
  world.run_for(10ms);
  send(bytes.substr(7, 50'000));
  world.run_for(10ms);
  send(bytes.substr(50'007));
  EXPECT_EQ(answer(), "in pieces");
  EXPECT_EQ(answer().size(), 100'000U);
  EXPECT_EQ(answer(), "and small");
}

TEST_F(ConnectionTest, ALengthThatCannotBeClosesAndSaysWhichSettingAllowsMore) {
  for (std::int32_t size : {-1, 0, 7, (1 << 20) + 1, INT32_MAX}) {
    ended = false;
    got.clear();
    connect();
    ByteWriter bad;
    bad.i32(size);
    bad.text("whatever follows");
    send(std::move(bad).take());
    EXPECT_EQ(answer(), "(end)") << size;
    ASSERT_TRUE(ends_within(1s));
    ASSERT_FALSE(handler.refusals.empty());
    EXPECT_NE(handler.refusals.back().find("socket.request.max.bytes"), std::string::npos) << handler.refusals.back();
  }
  EXPECT_EQ(handler.refusals.size(), 5U);
  EXPECT_TRUE(handler.order.empty());
}

TEST_F(ConnectionTest, ASilentClientIsClosedAfterTheIdleTimeAndNotBefore) {
  connect();
  send(frame("hello there"));
  EXPECT_EQ(answer(), "hello there");
  EXPECT_FALSE(ends_within(50s));
  send(frame("still here!"));  // begins the time anew
  EXPECT_EQ(answer(), "still here!");
  EXPECT_FALSE(ends_within(50s));
  EXPECT_TRUE(ends_within(15s));
  EXPECT_TRUE(handler.refusals.empty()) << "silence is no offence";
}

TEST_F(ConnectionTest, AnIdleTimeForEverIsForEver) {
  limits.idle_max = Duration::max();
  connect();
  EXPECT_FALSE(ends_within(1h));
}

TEST_F(ConnectionTest, HalfARequestIsWaitedForOnlySoLong) {
  for (const auto& half : {frame("half of it").substr(0, 1), frame("half of it").substr(0, 9),
                           frame(std::string(9000, 'x')).substr(0, 5000)}) {
    ended = false;
    connect();
    send(half);
    EXPECT_FALSE(ends_within(15s)) << half.size();
    EXPECT_TRUE(ends_within(10s)) << half.size();
  }
  EXPECT_TRUE(handler.order.empty());
  EXPECT_EQ(handler.refusals.size(), 3U) << "half a request is counted";
}

TEST_F(ConnectionTest, AClientThatDripsBytesIsNotWaitedForLonger) {
  connect();
  auto bytes = frame(std::string(2000, 'd'));
  for (int i = 0; i < 30 && !ended; ++i) {
    send(bytes.substr(static_cast<std::size_t>(i), 1));
    world.run_for(1s);
  }
  EXPECT_TRUE(ended) << "a byte a second keeps it open";
}

TEST_F(ConnectionTest, NotMoreRequestsThanAllowedAreUnderWay) {
  limits.requests_in_flight_max = 3;
  connect();
  for (int i = 0; i < 8; ++i) send(frame("wait " + std::to_string(i) + "...."));
  world.run_for(1s);
  EXPECT_EQ(handler.in_progress, 3);
  for (int i = 0; i < 8; ++i) {
    auto text = "wait " + std::to_string(i) + "....";
    handler.release(text);
    EXPECT_EQ(answer(), text);
  }
  EXPECT_EQ(handler.most_in_progress, 3);
}

TEST_F(ConnectionTest, AClientThatNeverReadsIsReadNoFurtherAndClosed) {
  limits.unsent_answers_max = 2_MiB;
  connect();
  for (int i = 0; i < 40; ++i) {
    client.cores().spawn(CoreId(0), send_task(frame("big answer " + std::to_string(i))));
  }
  world.run_for(5s);
  EXPECT_LE(handler.order.size(), 8U) << "requests are answered into memory although nothing is read";
  EXPECT_TRUE(ends_within(60s)) << "nobody takes what is sent";
  EXPECT_EQ(handler.refusals.size(), 1U) << "and is counted";
}

TEST_F(ConnectionTest, WhatTheClientLeavesBehindEnds) {
  connect();
  send(frame("wait for ever"));
  world.run_for(100ms);
  EXPECT_EQ(handler.in_progress, 1);
  socket->close();
  EXPECT_TRUE(ends_within(10s));
  EXPECT_EQ(handler.in_progress, 0) << "the request was told that its client has gone";
}

TEST_F(ConnectionTest, AReplyMayEndTheConnectionAfterItHasBeenSent) {
  connect();
  send(frame("first one") + frame("close now") + frame("too late!"));
  EXPECT_EQ(answer(), "first one");
  EXPECT_EQ(answer(), "close now");
  EXPECT_EQ(answer(), "(end)");
}

// --- memory that all connections share

class ConnectionMemoryTest : public ConnectionTest {
 protected:
  ~ConnectionMemoryTest() override {
    if (served) served->close();
    if (handler.bounded) test::run(world, machine, handler.bounded->stop());
  }

  void bound(Bytes requests, Bytes answers) {
    handler.bounded.emplace(machine.cores(), RequestMemory::Limits{requests, answers}, handler.registry);
  }
  // What others hold.
  env::Reservation take(Bytes size) {
    auto room = handler.bounded->try_request(size);
    CHECK(room.has_value());
    return *std::move(room);
  }
  static Task<void> wait_for_request(ConnectionMemoryTest& self, Bytes size) {
    auto room = co_await self.handler.bounded->for_request(size);
    self.room_came = room.has_value();
  }
  static Task<void> wait_for_answer(ConnectionMemoryTest& self, Bytes size) {
    auto room = co_await self.handler.bounded->for_answer(size, size, kForever);
    self.room_came = room.has_value();
  }
  void send_later(std::string bytes) { client.cores().spawn(CoreId(0), send_task(std::move(bytes))); }
  void ask_for_big_answers(int count) {
    for (int i = 0; i < count; ++i) send_later(frame("big answer " + std::to_string(i)));
  }
  bool room_came = false;
};

TEST_F(ConnectionMemoryTest, NothingIsReadFromAClientWhileThereIsNoRoomForItsRequest) {
  bound(1_MiB, -1);
  auto others = take(400_KiB);
  connect();
  send_later(frame(std::string(300'000, 'r')));
  EXPECT_EQ(answer(30s), "(silence)");
  EXPECT_TRUE(handler.order.empty());
  EXPECT_EQ(handler.bounded->request_bytes(), 400_KiB);
  others.release();
  EXPECT_EQ(answer().size(), 300'000U);
  EXPECT_EQ(handler.bounded->request_bytes(), 0);
}

TEST_F(ConnectionMemoryTest, ARequestLargerThanAllThereIsPassesAlone) {
  bound(64_KiB, -1);
  connect();
  send_later(frame(std::string(500'000, 'r')));
  EXPECT_EQ(answer().size(), 500'000U);
}

TEST_F(ConnectionMemoryTest, WhoAnnouncesMuchAndSendsLittleIsClosedOnceOthersNeedTheMemory) {
  limits.frame_max = 10min;
  bound(1_MiB, -1);
  connect();
  send(frame(std::string(500'000, 's')).substr(0, 10'000));
  EXPECT_FALSE(ends_within(5min)) << "nobody else needs it";
  EXPECT_EQ(handler.bounded->request_bytes(), 500'000);
  machine.cores().spawn(CoreId(0), wait_for_request(*this, 800_KiB));
  EXPECT_TRUE(ends_within(3s));
  world.run_for(10ms);
  EXPECT_TRUE(room_came);
  ASSERT_EQ(handler.refusals.size(), 1U) << "and is counted once";
  EXPECT_NE(handler.refusals[0].find("too slow while others wait"), std::string::npos);
}

TEST_F(ConnectionMemoryTest, WhoSendsFastEnoughIsNotClosedAlthoughOthersWait) {
  bound(1_MiB, -1);
  connect();
  auto bytes = frame(std::string(900'000, 'f'));
  send(bytes.substr(0, 10'000));
  world.run_for(100ms);
  machine.cores().spawn(CoreId(0), wait_for_request(*this, 800_KiB));
  for (std::size_t at = 10'000; at < bytes.size(); at += 100'000) {
    world.run_for(300ms);
    send(bytes.substr(at, 100'000));
    EXPECT_FALSE(room_came);
  }
  EXPECT_EQ(answer(10s).size(), 900'000U);
  EXPECT_TRUE(room_came);
}

TEST_F(ConnectionMemoryTest, AnswersHoldTheirMemoryUntilTheyAreTaken) {
  bound(-1, 4_MiB);  // of which half a MiB is for small ones
  limits.unsent_answers_max = 100_MiB;
  connect();
  ask_for_big_answers(20);
  world.run_for(2s);
  EXPECT_EQ(handler.bounded->answer_bytes(), 3_MiB);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(answer().size(), static_cast<std::size_t>(1_MiB)) << i;
  world.run_for(100ms);
  EXPECT_EQ(handler.bounded->answer_bytes(), 0);
}

TEST_F(ConnectionMemoryTest, WhoNeverReadsIsClosedSoonOnceOthersNeedTheMemory) {
  bound(-1, 4_MiB);
  limits.unsent_answers_max = 100_MiB;
  limits.send_turn_max = 10min;
  limits.idle_max = 10min;
  connect();
  ask_for_big_answers(3);
  EXPECT_FALSE(ends_within(5min)) << "nobody else needs it";
  EXPECT_GT(handler.bounded->answer_bytes(), 0);
  machine.cores().spawn(CoreId(0), wait_for_answer(*this, 3_MiB));
  EXPECT_TRUE(ends_within(1s));
  world.run_for(10ms);
  EXPECT_TRUE(room_came);
}

TEST_F(ConnectionMemoryTest, AnswersThatWaitForAnEarlierOneDoNotKeepTheirMemoryForEver) {
  bound(-1, 4_MiB);
  connect();
  send(frame("wait for ever"));  // as a long poll does, whose client says for how long
  ask_for_big_answers(1);
  EXPECT_FALSE(ends_within(5min));
  EXPECT_EQ(handler.bounded->answer_bytes(), 1_MiB);
  machine.cores().spawn(CoreId(0), wait_for_answer(*this, 3_MiB));
  EXPECT_TRUE(ends_within(2s));
  EXPECT_TRUE(room_came);
}

TEST_F(ConnectionMemoryTest, AConnectionThatEndsGivesItsMemoryToItsOwnRequestsThatWait) {
  bound(-1, 4_MiB);
  limits.unsent_answers_max = 100_MiB;
  limits.send_turn_max = 30s;
  connect();
  ask_for_big_answers(20);  // three are ready, the fourth waits for the memory of the first
  EXPECT_TRUE(ends_within(2min));
  EXPECT_EQ(handler.bounded->answer_bytes(), 0);
}

}  // namespace
}  // namespace forelog::api
