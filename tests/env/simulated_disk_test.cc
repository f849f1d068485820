#include "broker/env/simulated/simulated_disk.h"

#include "tests/support/run_task.h"

#include <set>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using test::run;

Slices slices(std::string text) { return {Buffer::take(std::move(text))}; }

std::string content(SimulatedDisk& disk, const Path& path) {
  auto file = disk.open(path, OpenMode::read);
  if (!file) return "missing";
  return std::string(disk.read(**file, 0, disk.size(**file)).text());
}

void write_synced(SimulatedDisk& disk, const Path& path, const std::string& text) {
  auto file = *disk.open(path, OpenMode::create);
  disk.write(*file, 0, slices(text));
  disk.sync(file, disk.changes(*file));
}

TEST(SimulatedDisk, CrashKeepsWhatWasSyncedAndTakesTheRest) {
  SeededRandom random(1);
  SimulatedDisk disk;
  write_synced(disk, "a", "synced");
  auto file = *disk.open("a", OpenMode::write);
  disk.write(*file, 6, slices(" and more"));
  EXPECT_EQ(content(disk, "a"), "synced and more");
  disk.crash(random, true);
  EXPECT_EQ(content(disk, "a"), "synced");
}

TEST(SimulatedDisk, UnsyncedWritesSurviveWholeOrTornOrNotAtAll) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    SimulatedDisk disk;
    write_synced(disk, "a", "");
    auto file = *disk.open("a", OpenMode::write);
    disk.write(*file, 0, slices("ab"));
    disk.write(*file, 2, slices("cd"));
    disk.crash(random, false);
    seen.insert(content(disk, "a"));
  }
  using namespace std::string_literals;
  EXPECT_EQ(seen, (std::set<std::string>{"", "a", "ab", "abc", "abcd", "\0\0c"s, "\0\0cd"s}));
}

TEST(SimulatedDisk, RenameLastsOnceItsDirectoryIsSynced) {
  SeededRandom random(1);
  SimulatedDisk disk;
  ASSERT_TRUE(disk.create_directories("d/e"));
  write_synced(disk, "d/e/new", "new");
  write_synced(disk, "d/e/old", "old");
  ASSERT_TRUE(disk.sync_directory("d/e"));
  ASSERT_TRUE(disk.rename("d/e/new", "d/e/old"));
  disk.crash(random, true);
  EXPECT_EQ(content(disk, "d/e/old"), "old");
  EXPECT_EQ(content(disk, "d/e/new"), "new");
  ASSERT_TRUE(disk.rename("d/e/new", "d/e/old"));
  ASSERT_TRUE(disk.sync_directory("d/e"));
  disk.crash(random, true);
  EXPECT_EQ(content(disk, "d/e/old"), "new");
  EXPECT_EQ(content(disk, "d/e/new"), "missing");
}

TEST(SimulatedDisk, RemovedFileComesBackUnlessItsDirectoryWasSynced) {
  SeededRandom random(1);
  SimulatedDisk disk;
  write_synced(disk, "a", "a");
  ASSERT_TRUE(disk.remove("a"));
  EXPECT_EQ(disk.used(), 0);
  disk.crash(random, true);
  EXPECT_EQ(content(disk, "a"), "a");
  EXPECT_EQ(disk.used(), 1);
}

TEST(SimulatedDisk, BytesCoveredByAFailedSyncAreLostThoughALaterOneSucceeds) {
  SeededRandom random(1);
  SimulatedDisk disk;
  write_synced(disk, "a", "a");
  auto file = *disk.open("a", OpenMode::write);
  disk.write(*file, 1, slices("b"));
  disk.fail_sync(*file, disk.changes(*file));
  disk.sync(file, disk.changes(*file));
  EXPECT_EQ(content(disk, "a"), "ab");
  disk.crash(random, false);
  EXPECT_EQ(content(disk, "a"), "a");
}

Task<Result<Bytes>> fill(Files& files) {
  auto file = CO_TRY(co_await files.open("f", OpenMode::create));
  Slices kept = slices("12345678");
  CO_TRY(co_await file->write_at(0, kept));
  Slices more = slices("abcdef");
  auto refused = co_await file->write_at(8, more);
  if (refused || refused.error().code != ErrorCode::kDiskFull) co_return fail(ErrorCode::kUnknown, "not refused");
  co_return co_await file->size();
}

TEST(SimulatedFiles, FullDiskTakesWhatFitsAndSaysSo) {
  SimulatedWorld world(3);
  auto& machine = world.machine();
  machine.faults().disk_capacity = 10;
  auto size = run(world, machine, fill(machine.env().files));
  ASSERT_TRUE(size) << size.error().text();
  EXPECT_EQ(*size, 10);
  EXPECT_EQ(*run(world, machine, machine.env().files.free_space("/")), 0);
}

Task<void> write_in_room(Files& files, Path path, int& taken) {
  auto file = *co_await files.open(std::move(path), OpenMode::create);
  Slices bytes = slices("123456");
  auto written = co_await file->write_leaving_room(0, std::move(bytes));
  if (written) ++taken;
}

TEST(SimulatedFiles, WritesAtTheSameTimeLeaveRoomTogether) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // the bytes of the first are there early or late
    SimulatedWorld world(seed);
    auto& machine = world.machine();
    machine.faults().disk = {1ms, 1ms};
    machine.faults().disk_capacity = 20;
    machine.faults().disk_reserve = 10;
    int taken = 0;
    auto& files = machine.env().files;
    for (const auto* path : {"a", "b"}) machine.cores().spawn(CoreId(0), write_in_room(files, path, taken));
    world.run_for(1s);
    EXPECT_EQ(taken, 1);
    EXPECT_EQ(*run(world, machine, files.free_space("/")), 14);
  }
}

Task<Result<void>> commit_two(LocalStore& store) {
  StoreBatch first, second;
  first.put("a", "1");
  second.put("b", "2");
  CO_TRY(co_await store.commit(std::move(first), Durability::synced));
  co_return co_await store.commit(std::move(second), Durability::written);
}

TEST(SimulatedLocalStore, CrashTakesUnsyncedCommits) {
  SimulatedWorld world(3);
  auto& machine = world.machine();
  ASSERT_TRUE(run(world, machine, commit_two(machine.env().local)));
  EXPECT_EQ(run(world, machine, machine.env().local.scan("", "", 9))->size(), 2u);
  world.crash(machine, SimulatedWorld::Loss::all);
  world.restart(machine);
  auto left = *run(world, machine, machine.env().local.scan("", "", 9));
  EXPECT_EQ(left, (LocalStore::Entries{{"a", "1"}}));
}

}  // namespace
}  // namespace forelog::env
