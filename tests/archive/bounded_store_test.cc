#include "broker/archive/bounded_store.h"

#include "broker/archive/shard_object.h"
#include "tests/support/run_task.h"

#include <optional>

#include <gtest/gtest.h>

namespace forelog::archive::test {
namespace {

using forelog::test::run;

// Keeps every call until `answer`, whatever its deadline says.
class HangingStore final : public env::ObjectStore {
 public:
  explicit HangingStore(env::Clock& clock) : answered_(clock) {}
  void answer() {
    hangs_ = false;
    answered_.notify();
  }

  Task<Result<void>> put(std::string, env::ObjectContent& content, Deadline) override {
    CO_TRY(co_await content.read(0, 1));
    ++pieces_read;
    co_await wait();
    CO_TRY(co_await content.read(1, 1));
    ++pieces_read;
    co_return Result<void>{};
  }
  Task<Result<void>> get_range(std::string, Bytes, Bytes, OnPiece on_piece, env::TrafficClass, Deadline) override {
    on_piece(Piece(Buffer::copy_of("early")));
    co_await wait();
    on_piece(Piece(Buffer::copy_of("late")));
    co_return Result<void>{};
  }
  Task<Result<env::ObjectInfo>> head(std::string key, Deadline) override {
    co_await wait();
    co_return env::ObjectInfo{key, 7};
  }
  Task<Result<void>> remove(std::string, Deadline) override {
    co_await wait();
    co_return Result<void>{};
  }
  Task<Result<std::vector<env::ObjectInfo>>> list(std::string, std::string, std::size_t, Deadline) override {
    co_await wait();
    co_return std::vector<env::ObjectInfo>{};
  }

  int pieces_read = 0;

 private:
  Task<void> wait() {
    while (hangs_) co_await answered_.wait(kForever);
  }
  bool hangs_ = true;
  Event answered_;
};

class TwoBytes final : public env::ObjectContent {
 public:
  Bytes size() const override { return 2; }
  Task<Result<Buffer>> read(Bytes, Bytes) override { co_return Buffer::copy_of("x"); }
};

class BoundedStoreTest : public testing::Test {
 protected:
  Deadline in(Duration time) { return world.now() + time; }
  template <class T>
  Result<T> timed(Task<Result<T>> call) {
    auto began = world.now();
    auto result = run(world, machine, std::move(call));
    took = world.now() - began;
    return result;
  }

  env::SimulatedWorld world{3};
  env::SimulatedMachine& machine = world.machine();
  MetricsRegistry registry;
  HangingStore behind{machine.env().clock};
  BoundedStore store{machine.env().cores, behind, registry};
  Duration took{};
};

TEST_F(BoundedStoreTest, PassesOnWhatAnswersInTime) {
  world.after(50ms, [&] { behind.answer(); });
  auto info = timed(store.head("a", in(1s)));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->size, 7);
  std::string got;
  EXPECT_TRUE(timed(store.get_range(
      "a", 0, 9, [&](const env::ObjectStore::Piece& piece) { got += piece.bytes.text(); }, env::TrafficClass::cold,
      in(1s))));
  EXPECT_EQ(got, "earlylate");
  TwoBytes content;
  EXPECT_TRUE(timed(store.put("a", content, in(1s))));
  EXPECT_EQ(behind.pieces_read, 2);
}

TEST_F(BoundedStoreTest, AStoreThatForgetsADeadlineKeepsNobodyWaiting) {
  auto info = timed(store.head("a", in(1s)));
  EXPECT_EQ(info.error().code, ErrorCode::kTimeout);
  EXPECT_LE(took, 2s);
}

TEST_F(BoundedStoreTest, BytesThatComeTooLateAreDropped) {
  std::string got;
  auto done = timed(store.get_range(
      "a", 0, 9, [&](const env::ObjectStore::Piece& piece) { got += piece.bytes.text(); }, env::TrafficClass::cold,
      in(1s)));
  EXPECT_EQ(done.error().code, ErrorCode::kTimeout);
  behind.answer();
  world.run_for(1s);
  EXPECT_EQ(got, "early");
}

TEST_F(BoundedStoreTest, AStopEndsCallsAfterItsGraceAndRefusesNewOnes) {
  world.after(100ms, [&] { store.stop(1s); });
  auto info = timed(store.head("a", in(120s)));
  EXPECT_EQ(info.error().code, ErrorCode::kStopping);
  EXPECT_GE(took, 1s);
  EXPECT_LE(took, 1200ms);
  EXPECT_EQ(timed(store.remove("a", in(120s))).error().code, ErrorCode::kStopping);
  EXPECT_LE(took, 1ms);
}

TEST_F(BoundedStoreTest, WhatAnswersWithinTheGraceOfAStopCounts) {
  world.after(100ms, [&] { store.stop(1s); });
  world.after(600ms, [&] { behind.answer(); });
  EXPECT_TRUE(timed(store.head("a", in(120s))));
}

// The content belongs to whoever asked: it must not be read once he has his answer.
TEST_F(BoundedStoreTest, AnUploadLeftAloneReadsNoMoreOfItsContent) {
  auto content = std::make_optional<TwoBytes>();
  world.after(100ms, [&] { store.stop(1s); });
  EXPECT_EQ(timed(store.put("a", *content, in(120s))).error().code, ErrorCode::kStopping);
  content.reset();
  behind.answer();
  world.run_for(1s);
  EXPECT_EQ(behind.pieces_read, 1);
}

}  // namespace
}  // namespace forelog::archive::test
