// What becomes of a request to S3 whose answer is under way when the process stops.
#include "broker/env/real/s3_object_store.h"
#include "tests/support/worlds.h"

#include <array>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

Task<ListenerPtr> listen(Env& env) { co_return *co_await env.network.listen({"127.0.0.1", 0}); }

// Answers the request for object k with the head and the first bytes of a MiB; a moment later the asking process stops.
Task<void> begin_an_answer(Env& env, ListenerPtr listener, ObjectStore& asking) {
  std::vector<ConnectionPtr> others;  // that look whether the archive is there
  ConnectionPtr connection;
  while (!connection) {
    auto next = *co_await listener->accept(env.cores.current());
    std::array<std::byte, 4096> request{};
    auto size = co_await next->read(request, test::soon(env));
    bool is_for_k = size && as_text(ByteView(request).first(*size)).starts_with("GET /archive/a/k ");
    (is_for_k ? connection : others.emplace_back()) = std::move(next);
  }
  std::string begun =
      "HTTP/1.1 206 Partial Content\r\nContent-Length: 1048576\r\nContent-Range: bytes 0-1048575/1048576\r\n"
      "ETag: \"1\"\r\n\r\nits first bytes";
  Slices slices{Buffer::take(std::move(begun))};
  EXPECT_TRUE(co_await connection->write(std::move(slices), test::soon(env)));
  co_await sleep_until(env.clock, env.clock.now() + 300ms);
  asking.interrupt();
  connection->close();
}

TEST(S3Stop, AReadThatAStopCutsOffIsNoDamagedObject) {
  test::InReality server;
  auto listener = server.run(listen(server.env()));
  test::TemporaryDirectory directory;
  RealEnvOptions options{.data_directory = directory / "data", .archive_url = "s3://archive/a"};
  options.s3.endpoint = "http://127.0.0.1:" + std::to_string(listener->local().port);
  options.s3.access_key = options.s3.secret_key = "key";
  auto asking = *RealEnv::open(options);
  ASSERT_TRUE(asking->start());
  auto& store = *asking->env().archive;
  std::thread answering([&] { server.run(begin_an_answer(server.env(), listener, store)); });
  auto nothing = [](const ObjectStore::Piece&) {};
  auto got = asking->run(store.get_range("k", 0, 1_MiB, nothing, TrafficClass::cold, test::soon(asking->env())));
  answering.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::kStopping) << got.error().text();
}

}  // namespace
}  // namespace forelog::env
