#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using test::run;

constexpr Duration kPatience = 1min;

Task<Result<std::string>> read_text(Connection& connection, Clock& clock) {
  std::string text;
  MutableBuffer buffer(100);
  while (true) {
    auto size = CO_TRY(co_await connection.read(buffer.view(), clock.now() + kPatience));
    if (size == 0) co_return text;
    text += as_text(buffer.view().first(size));
  }
}

// A server that takes one connection, reads it to its end and closes.
struct Server {
  explicit Server(SimulatedMachine& on) : machine(on) {}
  SimulatedMachine& machine;
  ConnectionPtr connection;
  std::optional<Result<std::string>> heard;

  static Task<void> serve(Server& self) {
    auto listener = co_await self.machine.env().network.listen({"0.0.0.0", 9092});
    auto accepted = co_await (*listener)->accept(CoreId{0});
    self.connection = *accepted;
    self.heard = co_await read_text(*self.connection, self.machine.env().clock);
  }
};

struct TwoMachines : testing::Test {
  SimulatedWorld world{11};
  SimulatedMachine& here = world.machine();
  SimulatedMachine& there = world.machine();
  Server server{there};

  void SetUp() override { there.cores().spawn(CoreId{0}, Server::serve(server)); }
  ConnectionPtr connect() {
    world.run_for(1ms);
    auto connection = run(world, here, here.env().network.connect({"m1", 9092}, world.now() + kPatience));
    EXPECT_TRUE(connection) << connection.error().text();
    return *connection;
  }
  bool until_heard() {
    return world.run_until([&] { return server.heard.has_value(); }, kPatience);
  }
};

TEST_F(TwoMachines, BytesArriveInOrderUntilTheEnd) {
  auto connection = connect();
  std::string sent;
  Slices slices;
  for (int i = 0; i < 100'000; ++i) sent += std::to_string(i);
  for (std::size_t at = 0; at < sent.size(); at += 7001) slices.push_back(Buffer::copy_of(sent.substr(at, 7001)));
  ASSERT_TRUE(run(world, here, connection->write(slices, world.now() + kPatience)));
  connection->close();
  ASSERT_TRUE(until_heard());
  EXPECT_EQ(*server.heard, sent);
}

TEST_F(TwoMachines, WriterWaitsForASlowReaderUntilItsDeadline) {
  auto connection = connect();
  world.run_for(1s);
  there.faults().network_unreachable = true;
  Slices slices{Buffer::take(std::string(1 << 20, 'x'))};
  auto written = run(world, here, connection->write(slices, world.now() + 1s));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kTimeout);
}

TEST_F(TwoMachines, CrashResetsTheOtherSide) {
  auto connection = connect();
  world.run_for(1s);
  world.crash(here);
  ASSERT_TRUE(until_heard());
  ASSERT_FALSE(*server.heard);
  EXPECT_EQ(server.heard->error().code, ErrorCode::kConnectionClosed);
}

TEST_F(TwoMachines, CloseEndsAReadOfTheSameSide) {
  auto connection = connect();
  world.after(1s, [&] { server.connection->close(); });
  ASSERT_TRUE(until_heard());
  EXPECT_EQ(server.heard->error().code, ErrorCode::kConnectionClosed);
  EXPECT_EQ(*run(world, here, read_text(*connection, here.env().clock)), "");
}

TEST_F(TwoMachines, NobodyListensMeansUnavailableAndSilenceTimeout) {
  world.run_for(1ms);
  auto refused = run(world, here, here.env().network.connect({"m1", 1}, world.now() + kPatience));
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  there.faults().network_unreachable = true;
  auto silent = run(world, here, here.env().network.connect({"m1", 9092}, world.now() + kPatience));
  EXPECT_EQ(silent.error().code, ErrorCode::kTimeout);
}

TEST_F(TwoMachines, DrawnResetBreaksBothSides) {
  auto connection = connect();
  here.faults().network_reset_rate = 1;
  auto written = run(world, here, connection->write({Buffer::copy_of("abc")}, world.now() + kPatience));
  EXPECT_EQ(written.error().code, ErrorCode::kConnectionClosed);
  ASSERT_TRUE(until_heard());
  EXPECT_EQ(server.heard->error().code, ErrorCode::kConnectionClosed);
}

}  // namespace
}  // namespace forelog::env
