#include "broker/log/wal_files.h"

#include "broker/log/wal_format.h"
#include "tests/log/log_fixture.h"
#include "tests/support/worlds.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace forelog::log {
namespace {

constexpr Bytes kSize = 8_KiB;

struct WalFilesTest : testing::Test {
  env::SimulatedWorld world{1};
  env::SimulatedMachine& machine = world.machine();
  WalFiles files{machine.env(), "wal", kSize, 4 * kSize};

  void SetUp() override {
    set_log_level(error);
    ASSERT_TRUE(test::run(world, machine, files.start(5)));
  }
  void TearDown() override { test::run(world, machine, files.stop()); }
  WalFiles::Open next(bool was_full = true) {
    auto out = test::run(world, machine, files.next(was_full));
    EXPECT_TRUE(out.has_value());
    return out ? *std::move(out) : WalFiles::Open{};
  }
  // The file in use, after the first one has served and stands ready again.
  WalFiles::Open after_the_first_came_back() {
    auto first = next();
    EXPECT_TRUE(world.run_until([&] { return files.has_full_sized(); }, 10s));
    auto second = next(false);
    EXPECT_TRUE(test::run(world, machine, files.retire(first.number, kSize, 2)));
    EXPECT_TRUE(world.run_until([&] { return files.has_full_sized(); }, 10s));
    return second;
  }
  std::vector<std::string> names() { return *machine.disk().list("wal"); }
  static std::string wal(std::int64_t number) { return wal_file_name(number); }
};

TEST_F(WalFilesTest, ASlowWriterFindsAFileOfFullSizeReady) {
  auto first = next();
  EXPECT_EQ(first.number, 5);
  EXPECT_FALSE(first.overwrites) << "nothing could be ready yet";
  ASSERT_TRUE(world.run_until([&] { return files.has_full_sized(); }, 10s));
  machine.faults().disk_error_rate = 1;
  auto second = next(false);
  machine.faults().disk_error_rate = 0;
  EXPECT_TRUE(second.overwrites);
  EXPECT_GT(second.number, first.number) << "files are replayed in the order of their numbers";
  EXPECT_EQ(*test::run(world, machine, second.file->size()), kSize);
}

TEST_F(WalFilesTest, AReadyFileHasItsNameAfterAPowerCut) {
  next();
  ASSERT_TRUE(world.run_until([&] { return files.has_full_sized(); }, 10s));
  auto ready = names();
  world.crash(machine, env::SimulatedWorld::Loss::all);
  EXPECT_EQ(names(), ready);
  world.restart(machine);
}

TEST_F(WalFilesTest, WhatHasServedIsUsedAgain) {
  auto second = after_the_first_came_back();
  auto third = next();
  EXPECT_TRUE(third.overwrites);
  EXPECT_GT(third.number, second.number);
}

TEST_F(WalFilesTest, AFileThatIsShortOrLongIsNotUsedAgain) {
  auto first = next();
  auto second = next();
  auto third = next();
  ASSERT_TRUE(test::run(world, machine, files.retire(first.number, kSize / 4, 3)));
  ASSERT_TRUE(test::run(world, machine, files.retire(second.number, 2 * kSize, 2)));
  auto left = names();
  for (auto gone : {first.number, second.number}) {
    EXPECT_EQ(std::ranges::count(left, wal_spare_name(gone)), 0);
    EXPECT_EQ(std::ranges::count(left, wal(gone)), 0);
  }
  EXPECT_EQ(std::ranges::count(left, wal(third.number)), 1);
}

TEST_F(WalFilesTest, AFileThatSomebodyHasRemovedKeepsNoneOfTheOthersInUse) {
  auto first = next();
  auto second = next();
  for (auto gone : {first.number, second.number}) ASSERT_TRUE(machine.disk().remove("wal/" + wal(gone)));
  EXPECT_TRUE(test::run(world, machine, files.retire(first.number, kSize, 2)));
  EXPECT_TRUE(test::run(world, machine, files.retire(second.number, kSize / 4, 1)));
  EXPECT_EQ(std::ranges::count(names(), wal_spare_name(first.number)), 0);
}

TEST_F(WalFilesTest, ADiskThatIsReadOnlyForAWhileCostsNoFiles) {
  after_the_first_came_back();
  auto third = next();
  auto before = names();
  machine.faults().disk_read_only = true;
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(test::run(world, machine, files.next(true)));
  machine.faults().disk_read_only = false;
  EXPECT_EQ(names(), before);
  EXPECT_GT(next().number, third.number);
}

TEST_F(WalFilesTest, AllFilesTogetherStayWithinTheirBound) {
  std::deque<std::int64_t> in_use;
  for (int i = 0; i < 100; ++i) {
    in_use.push_back(next().number);
    // A few at a time, as partitions let go of them.
    while (in_use.size() > 3 || (i % 7 == 0 && in_use.size() > 1)) {
      ASSERT_TRUE(test::run(world, machine, files.retire(in_use.front(), kSize, in_use.size())));
      in_use.pop_front();
    }
    world.run_for(10ms);
    EXPECT_LE(names().size(), 4U + 4U) << "four, two spares, one that stands ready, one that is being filled";
  }
}

TEST_F(WalFilesTest, WhatABusyHourHasUsedIsGivenBackByASlowOne) {
  std::vector<std::int64_t> in_use;
  for (int i = 0; i < 4; ++i) in_use.push_back(next().number);
  for (auto left = in_use.size(); left > 1; --left) {
    ASSERT_TRUE(test::run(world, machine, files.retire(in_use[in_use.size() - left], kSize, left)));
  }
  world.run_for(1s);
  auto busy = names().size();
  std::int64_t before = in_use.back();
  for (int i = 0; i < 10; ++i) {
    world.run_for(1min);
    auto now = next();
    ASSERT_TRUE(test::run(world, machine, files.retire(before, kSize, 2)));
    before = now.number;
  }
  world.run_for(1min);
  EXPECT_LT(names().size(), busy);
  EXPECT_LE(names().size(), 4U);
}

TEST_F(WalFilesTest, AFileThatCannotBeMadeIsAnErrorAndLeavesNothingInTheEnd) {
  machine.faults().disk_error_rate = 1;
  auto failed = test::run(world, machine, files.next(true));
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
  machine.faults().disk_error_rate = 0.5;
  std::vector<std::int64_t> in_use;
  for (int i = 0; i < 50; ++i) {
    auto opened = test::run(world, machine, files.next(true));
    if (opened) in_use.push_back(opened->number);
    world.run_for(100ms);
  }
  EXPECT_TRUE(std::is_sorted(in_use.begin(), in_use.end()));
  machine.faults().disk_error_rate = 0;
  test::run(world, machine, files.stop());
  ASSERT_TRUE(test::run(world, machine, files.remove_all(in_use)).has_value());
  EXPECT_EQ(names(), std::vector<std::string>{});
}

TEST_F(WalFilesTest, AStartRemovesWhatWaitedToBeUsedAgain) {
  auto first = next();
  auto second = next();
  ASSERT_TRUE(test::run(world, machine, files.retire(first.number, kSize, 2)));
  test::run(world, machine, files.stop());
  WalFiles again(machine.env(), "wal", kSize, 4 * kSize);
  ASSERT_TRUE(test::run(world, machine, again.start(100)));
  for (const auto& name : names()) EXPECT_FALSE(is_wal_spare_name(name)) << name;
  test::run(world, machine, again.stop());
}

// Opens a pipe for reading, which takes until somebody opens its other end.
Task<void> open_pipe(env::Files& files, std::string pipe, int& open) {
  (void)co_await files.open(std::move(pipe), env::OpenMode::read);
  ++open;
}
Task<void> open_other_end(env::Clock& clock, std::string pipe, const bool& wanted, int& descriptor) {
  auto latest = clock.now() + 5s;
  while (!wanted && clock.now() < latest) co_await sleep_until(clock, clock.now() + 1ms);
  while ((descriptor = ::open(pipe.c_str(), O_WRONLY | O_NONBLOCK)) < 0) co_await sleep_until(clock, clock.now() + 1ms);
}

// Whether it gets its next files while all of `threads` that store segments are busy.
Task<bool> names_files_beside_segments(env::Env& env, std::string directory, int threads) {
  WalFiles files(env, directory + "/wal", kSize, 4 * kSize);
  bool works = (co_await files.start(1)).has_value() && (co_await files.next(true)).has_value();
  while (!files.has_full_sized()) co_await sleep_until(env.clock, env.clock.now() + 1ms);
  auto pipe = directory + "/pipe";
  CHECK(::mkfifo(pipe.c_str(), 0600) == 0);
  TaskGroup tasks(env.cores);
  int open = 0, other_end = -1;
  bool done = false;
  for (int i = 0; i < threads; ++i) tasks.spawn(open_pipe(env.files, pipe, open));
  tasks.spawn(open_other_end(env.clock, pipe, done, other_end));
  // The first takes what stands ready, and has another one named.
  for (int i = 0; i < 2; ++i) works = works && (co_await files.next(true)).has_value();
  works = works && open == 0;
  done = true;
  co_await tasks.join();
  ::close(other_end);
  co_await files.stop();
  co_return works;
}

TEST(WalFilesInReality, TheNextOneDoesNotWaitForThreadsThatStoreSegments) {
  forelog::test::InReality world;
  ASSERT_TRUE(world.run(world.env().files.create_directories(world.directory())));
  EXPECT_TRUE(
      world.run(names_files_beside_segments(world.env(), world.directory(), env::RealEnvOptions{}.disk_threads)));
}

}  // namespace
}  // namespace forelog::log
