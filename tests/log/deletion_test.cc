// What stays of a deleted partition, and for how long.
#include "broker/log/local_log.h"
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;
using Loss = env::SimulatedWorld::Loss;

class DeletionTest : public test::StorageTest {};

TEST_F(DeletionTest, RemovedPartitionLeavesNothingAndFreesTheWriteAheadLog) {
  start({{0, {}}, {1, {}}});
  append(batch_of("a"), 0);
  append(batch_of("b"), 1);
  ASSERT_TRUE(run_here(log(0).remove_files()).has_value());
  ASSERT_TRUE(run_here(storage->catalog.remove_all(test::partition_key(0))).has_value());
  storage->logs.erase(0);
  settings.erase(0);
  restart_after_crash(Loss::all);
  EXPECT_EQ(*machine->disk().list("data/log"), std::vector<std::string>{test::partition_key(1).text()});
  EXPECT_EQ(run_here(storage->catalog.partitions())->size(), 0U) << "nothing was checkpointed of either";
  EXPECT_EQ(values(Offset(0), 1), std::vector<std::string>{"b"});
  stop();
}

TEST_F(DeletionTest, DeletedPartitionsAreNotRememberedForEver) {
  start({});
  for (int i = 1; i <= 50; ++i) {
    auto* observer = &storage->observers[i];
    auto opened = run_here(LocalLog::open(storage->context, test::partition_key(i), {}, observer));
    ASSERT_TRUE(opened.has_value());
    storage->logs[i] = *std::move(opened);
    if (i % 2 == 0) append(batch_of("written"), i);
    ASSERT_TRUE(append_only(batch_of("on its way"), i).has_value());
    ASSERT_TRUE(run_here(log(i).remove_files()).has_value());
    EXPECT_LE(storage->wal.forgetting(), 3U) << i;
    storage->logs.erase(i);
  }
  EXPECT_TRUE(world->run_until([&] { return storage->wal.forgetting() == 0; }, 1s));
  stop();
  EXPECT_TRUE(machine->disk().list("data/wal")->empty()) << "and nothing of them keeps a file";
}

TEST_F(DeletionTest, ADeletedPartitionIsLetGoWhileTheDiskFailsAndForgottenWhenItWorks) {
  start({{0, {}}, {1, {}}});
  append(batch_of("kept"), 0);
  append(batch_of("gone"), 1);
  machine->faults().disk_error_rate = 1;
  ASSERT_TRUE(append_only(batch_of(std::string(3000, 'w')), 1).has_value());
  world->run_for(1s);
  (void)run_here(log(1).remove_files());  // which fails, and is begun again elsewhere
  storage->logs.erase(1);
  world->run_for(1s);
  EXPECT_EQ(storage->wal.forgetting(), 1U) << "its bytes are still tried";
  machine->faults().disk_error_rate = 0;
  EXPECT_TRUE(world->run_until([&] { return storage->wal.forgetting() == 0; }, 5s));
  append(batch_of("kept too"), 0);
  EXPECT_EQ(values(Offset(0), 0), (std::vector<std::string>{"kept", "kept too"}));
  stop();
  // A file that could not be prepared may be left, until the next start.
  for (const auto& name : *machine->disk().list("data/wal")) EXPECT_TRUE(name.starts_with("spare-")) << name;
}

TEST_F(DeletionTest, APartitionWhoseFilesAreGoneIsRememberedUntilItsObjectsAreToo) {
  start();
  append(batch_of("deleted before any checkpoint"));
  ASSERT_TRUE(run_here(log().remove_files()).has_value());
  settings.clear();
  restart_after_crash(Loss::all);
  auto known = run_here(stored_partitions(machine->env(), "data/log", storage->catalog));
  ASSERT_TRUE(known.has_value());
  EXPECT_TRUE(known->contains(test::partition_key(0)));
  stop();
}

}  // namespace
}  // namespace forelog::log
