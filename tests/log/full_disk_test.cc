// A disk that appends have filled, and what retention can still do about it.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;

class FullDiskTest : public test::StorageTest, public testing::WithParamInterface<Durability> {
 protected:
  static Task<void> cut_task(LocalLog& log, WallTime now) {
    log.cut(now);
    co_return;
  }
  // Whether the disk took it.
  bool try_append() {
    auto appended = append_only(batch_of(std::string(5000, 'x')));
    if (!appended) return false;
    return run_here(log().wait_durable(appended->last + 1, machine->env().clock.now() + 10s)).has_value();
  }
};

TEST_P(FullDiskTest, AppendsLeaveRoomToDeleteWhatIsOld) {
  wal_file = 64_KiB;
  TopicSettings topic;
  topic.durability = GetParam();
  start({{0, topic}});
  machine->faults().disk_reserve = 64_KiB;
  machine->faults().disk_capacity = machine->disk().used() + 1_MiB;
  int taken = 0;
  while (taken < 1000 && try_append()) {
    if (++taken % 10 != 0) continue;
    run_here(cut_task(log(), machine->env().clock.wall()));
    (void)run_here(log().seal_up_to(log().durable_end()));  // the last may be full, and not stored yet
  }
  ASSERT_LT(taken, 1000);
  EXPECT_EQ(log().error().value_or(Error{}).code, ErrorCode::kDiskFull);
  world->run_for(1min);
  auto deleted = run_here(log().set_log_start(Offset(taken / 2)));
  EXPECT_TRUE(deleted) << deleted.error().text();
  EXPECT_TRUE(world->run_until([&] { return !log().error(); }, 10s));
  EXPECT_TRUE(try_append());
  machine->faults() = {};
  stop();
}

INSTANTIATE_TEST_SUITE_P(Durabilities, FullDiskTest, testing::Values(Durability::wal, Durability::page_cache));

}  // namespace
}  // namespace forelog::log
