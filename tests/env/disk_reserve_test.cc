#include "broker/env/real/disk_files.h"
#include "tests/support/worlds.h"

#include <algorithm>

#include <fcntl.h>

namespace forelog::env {
namespace {

Slices block(char of) { return {Buffer::take(std::string(4096, of))}; }

// `File::write_leaving_room`, and the two that are made of it: what comes without end does not take the last of a disk.
TEST(DiskReserve, OnlyWhatDoesNotGrowOrMayTakeItIsWritten) {
  forelog::test::InReality world;
  BlockingPool pool(1);
  ASSERT_TRUE(world.run(world.env().files.create_directories(world.directory())));
  auto free = *world.run(world.env().files.free_space(world.directory()));
  for (auto mode : {OpenMode::create, OpenMode::create_direct}) {
    auto path = world.directory() + (mode == OpenMode::create ? "/f" : "/d");
    DiskFiles all_reserved(pool, 2 * free);
    auto file = *world.run(all_reserved.open(path, mode));
    ASSERT_TRUE(world.run(file->write_at(0, block('a'))));
    EXPECT_TRUE(world.run(file->write_leaving_room(0, block('b'))));
    EXPECT_TRUE(world.run(file->write_and_begin_writeback(0, block('c'))));
    EXPECT_TRUE(world.run(file->write_and_sync(0, block('d'))));
    for (const auto& refused : {world.run(file->write_leaving_room(4096, block('e'))),
                                world.run(file->write_and_begin_writeback(4096, block('f'))),
                                world.run(file->write_and_sync(4096, block('g')))}) {
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kDiskFull);
    }
    EXPECT_EQ(world.run(file->read_at(0, 8192))->text(), std::string(4096, 'd'));
  }
}

TEST(DiskReserve, WhatFreesSpaceMayTakeAQuarter) {
  forelog::test::InReality world;
  BlockingPool pool(1);
  ASSERT_TRUE(world.run(world.env().files.create_directories(world.directory())));
  auto free = *world.run(world.env().files.free_space(world.directory()));
  for (auto mode : {OpenMode::create, OpenMode::create_direct}) {
    auto path = world.directory() + (mode == OpenMode::create ? "/f" : "/d");
    DiskFiles some_reserved(pool, free / 8 * 9);  // a quarter less is free
    auto file = *world.run(some_reserved.open(path, mode));
    EXPECT_FALSE(world.run(file->write_leaving_room(0, block('a'))));
    EXPECT_TRUE(world.run(file->write_to_free_space(0, block('b'))));
    DiskFiles all_reserved(pool, 2 * free);
    auto again = *world.run(all_reserved.open(path, mode));
    EXPECT_FALSE(world.run(again->write_to_free_space(4096, block('c'))));
    EXPECT_EQ(world.run(file->read_at(0, 8192))->text(), std::string(4096, 'b'));
  }
}

// Each would fit alone.
TEST(DiskReserve, WritesUnderWayCountTogether) {
  forelog::test::InReality world;
  ASSERT_TRUE(world.run(world.env().files.create_directories(world.directory())));
  auto file = PosixFile::open(world.directory() + "/f", O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  auto free = *world.run(world.env().files.free_space(world.directory()));
  DiskRoom room;
  {
    auto first = room.claim(*file, free / 5 * 2, free / 2);
    EXPECT_TRUE(first);
    EXPECT_FALSE(room.claim(*file, free / 5 * 2, free / 2));
    EXPECT_TRUE(room.claim(*file, 0, free / 2)) << "it does not grow";
  }
  EXPECT_TRUE(room.claim(*file, free / 5 * 2, free / 2));
}

}  // namespace
}  // namespace forelog::env
