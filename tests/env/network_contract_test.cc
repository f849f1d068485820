// What every implementation of Network promises.
#include "broker/base/check.h"
#include "broker/env/task_group.h"
#include "tests/support/worlds.h"

#include <atomic>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

struct Pair {
  ListenerPtr listener;
  ConnectionPtr client, server;
};

Task<void> accept_into(Listener& listener, ConnectionPtr& into, CoreId owner) {
  auto accepted = co_await listener.accept(owner);
  if (accepted) into = *accepted;
}

// Two ends of one connection, both on the core that asks.
Task<Pair> connect_pair(Env& env) {
  Pair pair;
  pair.listener = *co_await env.network.listen({"127.0.0.1", 0});
  TaskGroup group(env.cores);
  group.spawn(accept_into(*pair.listener, pair.server, env.cores.current()));
  pair.client = *co_await env.network.connect(pair.listener->local(), test::soon(env));
  co_await group.join();
  co_return pair;
}

Task<Result<std::string>> read_all(Env& env, Connection& connection, std::size_t step = 100'000) {
  std::string text;
  MutableBuffer buffer(step);
  while (true) {
    auto size = CO_TRY(co_await connection.read(buffer.view(), test::soon(env)));
    if (size == 0) co_return text;
    text += as_text(buffer.view().first(size));
  }
}
Task<Result<std::string>> read_once(Connection& connection, Deadline deadline) {
  MutableBuffer buffer(100);
  auto size = CO_TRY(co_await connection.read(buffer.view(), deadline));
  co_return std::string(as_text(buffer.view().first(size)));
}
Task<Result<void>> write_text(Connection& connection, std::string text, Deadline deadline) {
  Slices slices;
  slices.push_back(Buffer::take(std::move(text)));
  co_return co_await connection.write(std::move(slices), deadline);
}
template <class T>
Task<void> keep(Task<T> task, std::optional<T>& into) {
  into.emplace(co_await std::move(task));
}
// What arrives at the server, at least `size` bytes, while the client sends `slices`.
Task<std::string> sent_and_read(Env& env, const Pair& pair, Slices slices, std::size_t size) {
  std::optional<Result<void>> written;
  TaskGroup group(env.cores);
  group.spawn(keep(pair.client->write(std::move(slices), test::soon(env)), written));
  std::string got;
  while (got.size() < size) got += *co_await read_once(*pair.server, test::soon(env));
  co_await group.join();
  EXPECT_TRUE(*written);
  co_return got;
}
// Written, and known to be in memory.
Task<Buffer> resident_file(File& file, std::string content) {
  auto size = static_cast<Bytes>(content.size());
  Slices whole{Buffer::take(std::move(content))};
  EXPECT_TRUE(co_await file.write_and_sync(0, std::move(whole)));
  std::optional<Buffer> bytes;
  for (int i = 0; i < 100 && !bytes; ++i) bytes = file.resident(0, size);
  CHECK(bytes.has_value());
  co_return *std::move(bytes);
}
ErrorCode code_of(const auto& result) { return result ? ErrorCode::kUnknown : result.error().code; }

template <class World>
struct NetworkContract : testing::Test {
  World world;
};
TYPED_TEST_SUITE(NetworkContract, test::BothWorlds);

Task<void> send_much(Env& env) {
  auto pair = co_await connect_pair(env);
  Slices slices;
  std::string sent;
  for (int i = 0; i < 20'000; ++i) {
    auto text = std::to_string(i) + std::string(static_cast<std::size_t>(i % 97), '.');
    sent += text;
    slices.push_back(Buffer::take(std::move(text)));
    slices.push_back({});
  }
  EXPECT_TRUE(co_await sent_and_read(env, pair, std::move(slices), sent.size()) == sent);
  EXPECT_TRUE(co_await write_text(*pair.server, "answer", test::soon(env)));
  pair.server->close();
  EXPECT_EQ(*co_await read_all(env, *pair.client), "answer");
}
TYPED_TEST(NetworkContract, ManySlicesArriveInOrderAndThenTheEnd) { this->world.run(send_much(this->world.env())); }

// The answer to a fetch: a few bytes from memory, many from a file, and so on.
Task<void> send_files(Env& env, std::string path) {
  auto pair = co_await connect_pair(env);
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += std::to_string(i);
  auto file = *co_await env.files.open(path, OpenMode::create);
  Slices whole{Buffer::copy_of(content)};
  EXPECT_TRUE(co_await file->write_and_sync(0, std::move(whole)));
  Slices slices;
  std::string sent;
  for (std::size_t i = 0; i < 30; ++i) {
    auto head = "head " + std::to_string(i);
    auto at = i * 1000 + i;
    auto size = i % 7 == 0 ? 0 : content.size() / (i + 1) - at;
    auto bytes = file->resident(static_cast<std::int64_t>(at), static_cast<Bytes>(size));
    // Not always in memory in the simulated world; then it is read.
    if (!bytes) bytes = *co_await file->read_at(static_cast<std::int64_t>(at), static_cast<Bytes>(size));
    EXPECT_EQ(bytes->size(), size);
    auto part = bytes->slice(size / 3);
    sent += head + content.substr(at + size / 3, size - size / 3);
    slices.push_back(Buffer::take(std::move(head)));
    slices.push_back(std::move(part));
  }
  file.reset();
  EXPECT_TRUE(co_await sent_and_read(env, pair, std::move(slices), sent.size()) == sent);
}
TYPED_TEST(NetworkContract, WhatLiesInFilesArrivesWithTheRest) {
  auto directory = this->world.directory();
  ASSERT_TRUE(this->world.run(this->world.env().files.create_directories(directory)));
  this->world.run(send_files(this->world.env(), directory + "/sent"));
}

// A client that takes its answer slowly, while its file is removed.
Task<void> send_removed(Env& env, std::string path) {
  auto pair = co_await connect_pair(env);
  auto file = *co_await env.files.open(path, OpenMode::create);
  std::string content;
  while (content.size() < 20'000'000) content += std::to_string(content.size());
  auto bytes = co_await resident_file(*file, content);
  Slices slices{std::move(bytes)};
  file.reset();
  std::optional<Result<void>> written;
  TaskGroup group(env.cores);
  auto write = pair.client->write(std::move(slices), test::soon(env));
  group.spawn(keep(std::move(write), written));
  auto begin = *co_await read_once(*pair.server, test::soon(env));
  EXPECT_FALSE(written) << "more than a socket takes at once";
  EXPECT_TRUE(co_await env.files.remove(path));
  std::string got = std::move(begin);
  MutableBuffer room(1 << 20);
  while (got.size() < content.size()) {
    auto size = co_await pair.server->read(room.view(), test::soon(env));
    CHECK(size.has_value() && *size > 0);
    got += as_text(room.view().first(*size));
  }
  co_await group.join();
  EXPECT_TRUE(*written);
  EXPECT_TRUE(got == content);
}
TYPED_TEST(NetworkContract, AFileRemovedWhileItIsSentArrivesWhole) {
  auto directory = this->world.directory();
  ASSERT_TRUE(this->world.run(this->world.env().files.create_directories(directory)));
  this->world.run(send_removed(this->world.env(), directory + "/removed"));
}

// Nobody may shorten a file that is being sent; if something does, what follows must not be taken for its bytes.
Task<void> send_shortened(Env& env, std::string path) {
  auto pair = co_await connect_pair(env);
  auto file = *co_await env.files.open(path, OpenMode::create);
  auto bytes = co_await resident_file(*file, std::string(10'000, 'x'));
  EXPECT_TRUE(co_await file->truncate(4'000));
  Slices slices{Buffer::copy_of("head"), std::move(bytes), Buffer::copy_of("tail")};
  auto written = co_await pair.client->write(std::move(slices), test::soon(env));
  EXPECT_EQ(code_of(written), ErrorCode::kCorruptFile);
  pair.client->close();
  auto got = co_await read_all(env, *pair.server);
  if (got) {
    EXPECT_EQ(got->find("tail"), std::string::npos);
    EXPECT_LE(got->size(), 4'004U);
  }
}
TYPED_TEST(NetworkContract, AFileThatBecameShorterEndsTheWrite) {
  auto directory = this->world.directory();
  ASSERT_TRUE(this->world.run(this->world.env().files.create_directories(directory)));
  this->world.run(send_shortened(this->world.env(), directory + "/short"));
}

// Bytes that have left the system's memory since somebody asked.
class EvictedFile final : public StoredFile {
 public:
  explicit EvictedFile(std::string content) : content_(std::move(content)) {}
  int descriptor() const override { return -1; }
  bool is_resident(std::int64_t, Bytes) const override { return false; }
  std::size_t read(std::int64_t offset, MutableByteView into) const override {
    ++reads;
    auto rest = std::string_view(content_).substr(std::min(static_cast<std::size_t>(offset), content_.size()));
    return rest.copy(reinterpret_cast<char*>(into.data()), into.size());  // NOLINT: bytes and chars may alias
  }
  mutable std::atomic<int> reads = 0;

 private:
  std::string content_;
};

Task<void> send_evicted(Env& env) {
  auto pair = co_await connect_pair(env);
  auto file = std::make_shared<const EvictedFile>("0123456789");
  Slices slices{Buffer::copy_of("a"), Buffer::stored(file, 2, 3), Buffer::copy_of("b"), Buffer::stored(file, 9, 1)};
  EXPECT_TRUE(co_await pair.client->write(std::move(slices), test::soon(env)));
  EXPECT_EQ(file->reads, 2);
  Slices beyond{Buffer::copy_of("c"), Buffer::stored(file, 8, 3)};
  EXPECT_EQ(code_of(co_await pair.client->write(std::move(beyond), test::soon(env))), ErrorCode::kCorruptFile);
  std::string got;
  while (got.size() < 6) {
    auto more = co_await read_once(*pair.server, test::soon(env));
    CHECK(more.has_value());
    got += *more;
  }
  EXPECT_EQ(got.substr(0, 6), "a234b9");
}
TYPED_TEST(NetworkContract, WhatHasLeftMemoryIsReadAndSent) { this->world.run(send_evicted(this->world.env())); }

Task<void> read_late(Env& env) {
  auto pair = co_await connect_pair(env);
  auto late = co_await read_once(*pair.client, env.clock.now() + 20ms);
  EXPECT_EQ(code_of(late), ErrorCode::kTimeout);
  EXPECT_EQ(code_of(co_await read_once(*pair.client, env.clock.now() - 1ms)), ErrorCode::kTimeout);
  EXPECT_TRUE(co_await write_text(*pair.server, "late", test::soon(env)));
  EXPECT_FALSE((co_await read_once(*pair.client, test::soon(env)))->empty());
}
TYPED_TEST(NetworkContract, AReadPastItsDeadlineFailsAndTheNextOneWorks) {
  this->world.run(read_late(this->world.env()));
}

Task<void> write_to_nobody(Env& env) {
  auto pair = co_await connect_pair(env);
  auto stuck = co_await write_text(*pair.client, std::string(64 << 20, 'x'), env.clock.now() + 50ms);
  EXPECT_EQ(code_of(stuck), ErrorCode::kTimeout);
}
TYPED_TEST(NetworkContract, AWriteThatNobodyReadsFailsAtItsDeadline) {
  this->world.run(write_to_nobody(this->world.env()));
}

Task<void> time_out_one_way(Env& env) {
  auto pair = co_await connect_pair(env);
  std::optional<Result<void>> written;
  TaskGroup group(env.cores);
  group.spawn(keep(write_text(*pair.client, std::string(32 << 20, 'x'), test::soon(env)), written));
  auto late = co_await read_once(*pair.client, env.clock.now() + 20ms);
  EXPECT_EQ(code_of(late), ErrorCode::kTimeout);
  for (std::size_t got = 0; got < 32 << 20;) {
    MutableBuffer buffer(1 << 20);
    got += *co_await pair.server->read(buffer.view(), test::soon(env));
  }
  co_await group.join();
  EXPECT_TRUE(*written);
}
TYPED_TEST(NetworkContract, ADeadlineEndsItsOwnDirectionOnly) { this->world.run(time_out_one_way(this->world.env())); }

Task<void> close_while_reading(Env& env) {
  auto pair = co_await connect_pair(env);
  std::optional<Result<std::string>> read;
  TaskGroup group(env.cores);
  group.spawn(keep(read_once(*pair.client, kForever), read));
  co_await sleep_until(env.clock, env.clock.now() + 5ms);
  pair.client->close();
  co_await group.join();
  EXPECT_EQ(code_of(*read), ErrorCode::kConnectionClosed);
  EXPECT_EQ(code_of(co_await write_text(*pair.client, "x", test::soon(env))), ErrorCode::kConnectionClosed);
  EXPECT_EQ(*co_await read_all(env, *pair.server), "");
}
TYPED_TEST(NetworkContract, ClosingEndsWaitingAndTellsTheOtherSide) {
  this->world.run(close_while_reading(this->world.env()));
}

Task<void> end_unread(Env& env) {
  auto pair = co_await connect_pair(env);
  EXPECT_TRUE(co_await write_text(*pair.client, "not read yet", test::soon(env)));
  co_await sleep_until(env.clock, env.clock.now() + 5ms);
  EXPECT_FALSE(pair.server->has_ended());
  pair.client->close();
  auto until = test::soon(env);
  while (!pair.server->has_ended() && env.clock.now() < until) co_await sleep_until(env.clock, env.clock.now() + 1ms);
  EXPECT_TRUE(pair.server->has_ended());
  EXPECT_EQ(*co_await read_all(env, *pair.server), "not read yet");
}
TYPED_TEST(NetworkContract, AnEndIsSeenBehindBytesThatNobodyReads) { this->world.run(end_unread(this->world.env())); }

Task<void> stop_listening(Env& env) {
  auto listener = *co_await env.network.listen({"127.0.0.1", 0});
  auto at = listener->local();
  EXPECT_EQ(code_of(co_await env.network.listen(at)), ErrorCode::kAlreadyExists);
  ConnectionPtr none;
  TaskGroup group(env.cores);
  group.spawn(accept_into(*listener, none, CoreId{0}));
  co_await sleep_until(env.clock, env.clock.now() + 5ms);
  listener->close();
  co_await group.join();
  EXPECT_EQ(none, nullptr);
  EXPECT_EQ(code_of(co_await env.network.connect(at, test::soon(env))), ErrorCode::kUnavailable);
}
TYPED_TEST(NetworkContract, AClosedListenerAcceptsNobody) { this->world.run(stop_listening(this->world.env())); }

Task<std::string> echo_there(Env& env, ConnectionPtr connection) {
  auto text = *co_await read_once(*connection, test::soon(env));
  (void)co_await write_text(*connection, text + "@" + std::to_string(env.cores.current().value()), test::soon(env));
  connection->close();
  co_return text;
}
Task<void> accept_for_another_core(Env& env) {
  auto listener = *co_await env.network.listen({"localhost", 0});
  ConnectionPtr server;
  TaskGroup group(env.cores);
  group.spawn(accept_into(*listener, server, CoreId{1}));
  auto at = listener->local();
  at.host = "localhost";
  auto client = *co_await env.network.connect(at, test::soon(env));
  co_await group.join();
  EXPECT_TRUE(co_await write_text(*client, "x", test::soon(env)));
  auto echo = echo_there(env, std::move(server));
  EXPECT_EQ(co_await env.cores.on(CoreId{1}, std::move(echo)), "x");
  EXPECT_EQ(*co_await read_all(env, *client, 1), "x@1");
}
TYPED_TEST(NetworkContract, AConnectionLivesOnTheCoreItWasAcceptedFor) {
  this->world.run(accept_for_another_core(this->world.env()));
}

}  // namespace
}  // namespace forelog::env
