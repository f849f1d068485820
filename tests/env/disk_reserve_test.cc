#include "broker/env/real/disk_files.h"
#include "tests/support/worlds.h"

#include <algorithm>

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

}  // namespace
}  // namespace forelog::env
