// What only the real world has: threads, a full disk, processes that are killed.
#include "broker/env/real/real_env.h"

#include "broker/env/real/timer_heap.h"
#include "broker/env/task_group.h"
#include "tests/support/worlds.h"

#include <csignal>
#include <filesystem>
#include <future>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace forelog::env {
namespace {

Slices slices(std::size_t size) { return {Buffer::take(std::string(size, 'x'))}; }

TEST(RealFiles, AFullDeviceIsDiskFull) {
  test::InReality world;
  auto full = world.run(world.env().files.open("/dev/full", OpenMode::write));
  ASSERT_TRUE(full) << full.error().text();
  auto written = world.run((*full)->write_at(0, slices(10)));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kDiskFull);
  EXPECT_NE(written.error().context.find("/dev/full"), std::string::npos);
}

TEST(RealFiles, AWriteThatFitsInPartIsContinuedUntilTheDiskRefuses) {
  test::InReality world;
  auto& files = world.env().files;
  ASSERT_TRUE(world.run(files.create_directories(world.directory())));
  auto file = *world.run(files.open(world.directory() + "/f", OpenMode::create));
  auto before_signal = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small{1 << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto written = world.run(file->write_at(0, slices(3 << 20)));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, before_signal);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(*world.run(file->size()), 1 << 20);
}

// Opening a FIFO blocks its thread until somebody has it open at the other end.
TEST(RealFiles, TheWriteAheadLogDoesNotWaitForThreadsThatAreStuckInOtherFiles) {
  test::InReality world;
  auto& env = world.env();
  ASSERT_TRUE(world.run(env.files.create_directories(world.directory())));
  auto fifo = world.directory() + "/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  constexpr int kMoreThanThreads = 16;
  auto elsewhere = [&](auto make) {
    return std::async(std::launch::async, [&world, make] { return world.run(make()); });
  };
  std::vector<std::future<Result<FilePtr>>> stuck;
  for (int i = 0; i < kMoreThanThreads; ++i)
    stuck.push_back(elsewhere([&] { return env.files.open(fifo, OpenMode::read); }));

  auto opened = elsewhere([&] { return env.wal_files.open(world.directory() + "/log", OpenMode::create); });
  EXPECT_EQ(opened.wait_for(20s), std::future_status::ready);
  for (auto& each : stuck) EXPECT_EQ(each.wait_for(0s), std::future_status::timeout);

  int other_end = ::open(fifo.c_str(), O_RDWR | O_CLOEXEC);
  for (auto& each : stuck) EXPECT_TRUE(each.get());
  EXPECT_TRUE(opened.get());
  ::close(other_end);
}

// Reads as fast as it is given, on a thread of its own, until the other side closes.
std::thread eager_reader(const Endpoint& of) {
  return std::thread([port = of.port] {
    int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);  // NOLINT: sockets API
    std::vector<char> room(4 << 20);
    while (::read(socket, room.data(), room.size()) > 0) {
    }
    ::close(socket);
  });
}

struct Stretch {
  std::size_t now = 0;
  std::size_t longest = 0;
  bool over = false;
};
Task<void> send_in_small_writes(Connection& connection, std::size_t size, Deadline deadline, Stretch& stretch) {
  constexpr std::size_t kWrite = 64 << 10;
  for (std::size_t at = 0; at < size; at += kWrite) {
    EXPECT_TRUE(co_await connection.write(slices(kWrite), deadline));
    stretch.now += kWrite;
    stretch.longest = std::max(stretch.longest, stretch.now);
  }
  stretch.over = true;
}
Task<std::size_t> longest_without_a_turn_for_others(Env& env) {
  auto listener = *co_await env.network.listen({"127.0.0.1", 0});
  auto peer = eager_reader(listener->local());
  auto connection = *co_await listener->accept(env.cores.current());
  Stretch stretch;
  TaskGroup group(env.cores);
  group.spawn(send_in_small_writes(*connection, 256 << 20, test::soon(env), stretch));
  while (!stretch.over) {
    stretch.now = 0;
    Event again(env.clock);
    env.cores.post(env.cores.current(), [&again] { again.notify(); });
    co_await again.wait(kForever);
  }
  co_await group.join();
  connection->close();
  peer.join();
  co_return stretch.longest;
}
TEST(RealNetwork, AClientThatTakesAllAtOnceLeavesOthersOfItsCoreTheirTurns) {
  test::InReality world;
  EXPECT_LE(world.run(longest_without_a_turn_for_others(world.env())), 1U << 20);
}

Task<std::vector<int>> bounce(Cores& cores, int left) {
  std::vector<int> seen{cores.current().value()};
  if (left > 0) {
    auto next = bounce(cores, left - 1);
    auto rest = co_await cores.on(CoreId{(cores.current().value() + 1) % cores.count()}, std::move(next));
    seen.insert(seen.end(), rest.begin(), rest.end());
  }
  CHECK(cores.current().value() == seen.front());
  co_return seen;
}
Task<void> bounce_and_count(Cores& cores, int& done) {
  auto seen = co_await bounce(cores, 20);
  if (seen.size() == 21) ++done;
}
Task<int> bounce_many(Cores& cores) {
  int done = 0;
  TaskGroup group(cores);
  for (int i = 0; i < 50; ++i) group.spawn(bounce_and_count(cores, done));
  co_await group.join();
  co_return done;
}

Bytes size_of_store_log(const std::string& directory) {
  Bytes size = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(directory).parent_path() / "data" / "store")) {
    if (entry.path().extension() == ".log") size = static_cast<Bytes>(entry.file_size());
  }
  return size;
}

TEST(LevelDbStore, WhatIsCommittedAfterAFailedWriteOutlivesARestart) {
  test::InReality world;
  auto put = [&](const std::string& key, std::size_t size) {
    StoreBatch batch;
    batch.put(key, std::string(size, 'v'));
    return world.run(world.env().local.commit(std::move(batch), Durability::synced));
  };
  ASSERT_TRUE(put("before", 100));
  auto before_signal = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto log_size = size_of_store_log(world.directory());
  ASSERT_GT(log_size, 0);
  rlimit small{static_cast<rlim_t>(log_size) + 1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto refused = put("too large", 20'000);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, before_signal);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kDiskFull) << refused.error().text();
  EXPECT_TRUE(*world.run(world.env().local.get("before"))) << "reading goes on";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put("after" + std::to_string(i), 5000));
  world.restart();
  EXPECT_TRUE(*world.run(world.env().local.get("before")));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(*world.run(world.env().local.get("after" + std::to_string(i)))) << i;
}

TEST(Reactors, TasksHopToAnotherCoreAndResumeOnTheirOwn) {
  test::InReality world;
  EXPECT_EQ(world.run(bounce_many(world.env().cores)), 50);
}

Task<void> sleep_with(Clock& clock, std::shared_ptr<int> held) {
  co_await sleep_until(clock, clock.now() + 1h);
  *held = 1;
}

Task<int> nothing() { co_return 0; }

TEST(Reactors, WhoSleepsWhenTheyEndGoesWithThem) {
  std::weak_ptr<int> seen;
  {
    test::InReality world;
    auto held = std::make_shared<int>(0);
    seen = held;
    auto sleeping = sleep_with(world.env().clock, std::move(held));
    world.env().cores.spawn(CoreId(0), std::move(sleeping));
    EXPECT_EQ(world.run(nothing()), 0);
    EXPECT_FALSE(seen.expired());
  }
  EXPECT_TRUE(seen.expired());
}

struct Note final : Waiter {
  Note(std::vector<int>& into, int what) : seen(into), name(what) {}
  void wake() override { seen.push_back(name); }
  std::vector<int>& seen;
  int name;
};

TEST(TimerHeap, WakesInOrderAndForgetsTheCancelled) {
  TimerHeap heap;
  std::vector<int> seen;
  std::vector<Clock::TimerId> ids;
  for (int i = 0; i < 1000; ++i) {
    auto at = Instant{} + std::chrono::seconds(i * 7919 % 1000);
    ids.push_back(heap.add(at, std::make_shared<Note>(seen, i * 7919 % 1000)));
  }
  std::vector<int> expected;
  for (int second = 0; second < 1000; ++second)
    if (second % 3 != 0) expected.push_back(second);
  for (int i = 0; i < 1000; ++i)
    if (i * 7919 % 1000 % 3 == 0) heap.cancel(ids[static_cast<std::size_t>(i)]);
  EXPECT_EQ(heap.size(), expected.size());
  EXPECT_EQ(heap.pop_due(Instant{}), nullptr);
  while (auto next = heap.next()) heap.pop_due(*next)->wake();
  EXPECT_EQ(seen, expected);
}

TEST(TimerHeap, AnIdOfAFormerLifeCancelsNobody) {
  TimerHeap heap;
  std::vector<int> seen;
  auto old = heap.add(Instant{} + 1s, std::make_shared<Note>(seen, 1));
  heap.cancel(old);
  heap.add(Instant{} + 2s, std::make_shared<Note>(seen, 2));
  heap.cancel(old);
  EXPECT_EQ(heap.size(), 1u);
}

Task<void> sleep_and_note(Clock& clock, Duration delay, int name, std::vector<int>& seen) {
  co_await sleep_until(clock, clock.now() + delay);
  seen.push_back(name);
}
Task<std::vector<int>> sleep_in_order(Cores& cores) {
  std::vector<int> seen;
  TaskGroup group(cores);
  for (int i : {3, 1, 2}) group.spawn(sleep_and_note(cores.clock(), i * 30ms, i, seen));
  co_await group.join();
  co_return seen;
}

TEST(SystemClock, OneKernelTimerServesAllSleepersInOrder) {
  test::InReality world;
  EXPECT_EQ(world.run(sleep_in_order(world.env().cores)), (std::vector<int>{1, 2, 3}));
}

TEST(SystemRandom, TopicIdsDiffer) {
  test::InReality world;
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(world.env().random.topic_id().text());
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(RealEnv, SaysWhatIsWrongWithItsOptions) {
  test::TemporaryDirectory directory;
  auto unknown = RealEnv::open({.data_directory = directory / "data", .archive_url = "ftp://x/y"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidSetting);
  EXPECT_NE(unknown.error().context.find("ftp://x/y"), std::string::npos);
  EXPECT_FALSE(RealEnv::open({.data_directory = directory / "data", .archive_url = "file:relative"}));
  auto first = RealEnv::open({.data_directory = directory / "data"});
  ASSERT_TRUE(first);
  EXPECT_EQ((*first)->env().archive, nullptr);
  auto second = RealEnv::open({.data_directory = directory / "data"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kIo);
}

Task<bool> wait_a_bit(Event& event, Deadline deadline) { co_return co_await event.wait(deadline); }
Task<void> never_ends(Env& env, std::string path) {
  Event event(env.clock);
  auto file = co_await env.files.open(path, OpenMode::create);
  auto listener = co_await env.network.listen({"127.0.0.1", 0});
  auto connection = co_await env.network.connect((*listener)->local(), kForever);
  MutableBuffer buffer(10);
  auto read = co_await (*connection)->read(buffer.view(), env.clock.now() + 1h);
}

TEST(RealEnv, StopsWithTasksThatNobodyJoined) {
  test::InReality world;
  ASSERT_TRUE(world.run(world.env().files.create_directories(world.directory())));
  for (int core : {0, 1}) world.env().cores.spawn(CoreId{core}, never_ends(world.env(), world.directory() + "/f"));
  Event event(world.env().clock);
  EXPECT_FALSE(world.run(wait_a_bit(event, world.env().clock.now() + 20ms)));
}

Task<void> get_one(Env& env, int& done) {
  auto ignore = [](const ObjectStore::Piece&) {};
  auto got = co_await env.archive->get_range("k", 0, 1, ignore, TrafficClass::cold, test::soon(env));
  if (got) ++done;
}
class OneByte : public ObjectContent {
 public:
  Bytes size() const override { return 1; }
  Task<Result<Buffer>> read(Bytes, Bytes) override { co_return Buffer::view_of_static("x"); }
};
Task<int> get_many(Env& env, int count) {
  OneByte content;
  auto put = co_await env.archive->put("k", content, test::soon(env));
  int done = 0;
  TaskGroup group(env.cores);
  for (int i = 0; i < count; ++i) group.spawn(get_one(env, done));
  co_await group.join();
  auto late = co_await env.archive->head("k", env.clock.now() + 10ms);
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  co_return done;
}

TEST(DirectoryObjectStore, RequestsWaitOutTheFirstByteDelayBesideEachOther) {
  test::TemporaryDirectory directory;
  auto real = *RealEnv::open({.data_directory = directory / "data",
                              .archive_url = "file:" + (directory / "archive"),
                              .archive_first_byte_delay = 100ms,
                              .archive_threads = 1});
  ASSERT_TRUE(real->start());
  auto& clock = real->env().clock;
  auto begun = clock.now();
  EXPECT_EQ(real->run(get_many(real->env(), 600)), 600);
  auto took = clock.now() - begun;
  EXPECT_GE(took, 200ms);
  EXPECT_LT(took, 50s);  // one after another they would need a minute
}

TEST(DirectoryObjectStore, WhileItsDirectoryIsGoneNothingIsMissingAndNothingIsMade) {
  test::TemporaryDirectory directory;
  auto archive = directory / "archive";
  auto real = *RealEnv::open({.data_directory = directory / "data", .archive_url = "file:" + archive});
  ASSERT_TRUE(real->start());
  auto& env = real->env();
  std::filesystem::remove_all(archive);
  OneByte content;
  EXPECT_EQ(real->run(env.archive->put("a/k", content, test::soon(env))).error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_EQ(real->run(env.archive->head("a/k", test::soon(env))).error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_EQ(real->run(env.archive->remove("a/k", test::soon(env))).error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_EQ(real->run(env.archive->list("", "", 9, test::soon(env))).error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_FALSE(std::filesystem::exists(archive));
}

// Tells its parent when half of it has been read, and then waits to be killed.
class HangsHalfway final : public ObjectContent {
 public:
  explicit HangsHalfway(int tell) : tell_(tell) {}
  Bytes size() const override { return 4_MiB; }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    if (from >= 2_MiB) {
      CHECK(::write(tell_, "x", 1) == 1);
      ::pause();
    }
    co_return Buffer::take(std::string(static_cast<std::size_t>(size), 'n'));
  }

 private:
  int tell_;
};

// The clearing is done before the rest of it comes.
class ClaimsHalfway final : public ObjectContent {
 public:
  explicit ClaimsHalfway(ObjectStore& store) : store_(store) {}
  Bytes size() const override { return 4_MiB; }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    if (from == 2_MiB) {
      store_.claim();
      std::this_thread::sleep_for(100ms);
    }
    co_return Buffer::take(std::string(static_cast<std::size_t>(size), 'n'));
  }

 private:
  ObjectStore& store_;
};

void put_until_killed(const RealEnvOptions& options, int tell) {
  auto real = *RealEnv::open(options);
  CHECK(real->start().has_value());
  HangsHalfway content(tell);
  (void)real->run(real->env().archive->put("a/k", content, kForever));
}

TEST(DirectoryObjectStore, APutThatIsKilledLeavesTheOldObjectAndNoRest) {
  test::TemporaryDirectory directory;
  RealEnvOptions options{.data_directory = directory / "data", .archive_url = "file:" + (directory / "archive")};
  {
    auto real = *RealEnv::open(options);
    ASSERT_TRUE(real->start());
    OneByte old;
    ASSERT_TRUE(real->run(real->env().archive->put("a/k", old, test::soon(real->env()))));
  }
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    put_until_killed(options, pipe[1]);
    ::_exit(1);
  }
  char told = 0;
  ASSERT_EQ(::read(pipe[0], &told, 1), 1);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(pipe[0]);
  ::close(pipe[1]);
  EXPECT_FALSE(std::filesystem::is_empty(directory / "archive/.uploading"));

  SystemRandom().next();  // the child drew from what this process had in hand, which no other two processes share
  auto real = *RealEnv::open(options);
  ASSERT_TRUE(real->start());
  auto& env = real->env();
  auto listed = *real->run(env.archive->list("", "", 9, test::soon(env)));
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].key, "a/k");
  EXPECT_EQ(listed[0].size, 1);
  EXPECT_FALSE(std::filesystem::is_empty(directory / "archive/.uploading")) << "the archive may be somebody else's";
  env.archive->claim();
  auto is_clear = [&] { return std::filesystem::is_empty(directory / "archive/.uploading"); };
  for (auto end = test::soon(env); !is_clear() && env.clock.now() < end;) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(is_clear());
}

// Of this life: an id is put before anybody says whose the archive is.
TEST(DirectoryObjectStore, APutUnderWayOutlivesTheClearing) {
  test::TemporaryDirectory directory;
  auto real = *RealEnv::open({.data_directory = directory / "data", .archive_url = "file:" + (directory / "archive")});
  ASSERT_TRUE(real->start());
  auto& env = real->env();
  ClaimsHalfway content(*env.archive);
  auto put = real->run(env.archive->put("a/k", content, test::soon(env)));
  EXPECT_TRUE(put) << put.error().text();
  EXPECT_EQ(real->run(env.archive->head("a/k", test::soon(env)))->size, content.size());
}

}  // namespace
}  // namespace forelog::env
