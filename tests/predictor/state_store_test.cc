#include "predictor/state_store.h"

#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::predictor {
namespace {

class StateStoreTest : public testing::Test {
 protected:
  void save(std::string model) {
    StateStore store(machine.env().local);
    auto done = test::run(world, machine, store.save({{{0, 5}, {3, 700}}, std::move(model)}));
    EXPECT_TRUE(done.has_value());
  }
  std::optional<Snapshot> load() {
    StateStore store(machine.env().local);
    auto loaded = test::run(world, machine, store.load());
    EXPECT_TRUE(loaded.has_value());
    return *loaded;
  }
  void put(std::string key, std::optional<std::string> value) {
    env::StoreBatch batch;
    batch.changes.push_back({std::move(key), std::move(value)});
    auto task = machine.env().local.commit(std::move(batch), env::Durability::synced);
    EXPECT_TRUE(test::run(world, machine, std::move(task)).has_value());
  }
  std::size_t entries() {
    return test::run(world, machine, machine.env().local.scan("predictor/", "predictor0", 1000))->size();
  }
  env::SimulatedWorld world{11};
  env::SimulatedMachine& machine = world.machine(1);
};

TEST_F(StateStoreTest, TheFirstStartFindsNothing) { EXPECT_FALSE(load().has_value()); }

TEST_F(StateStoreTest, TheNewestSnapshotComesBackWithItsPositions) {
  save("old");
  auto large = std::string(3'000'000, 'x') + "end";
  save(large);
  auto snapshot = load();
  ASSERT_TRUE(snapshot.has_value());
  EXPECT_EQ(snapshot->model, large);
  EXPECT_EQ(snapshot->positions, (Positions{{0, 5}, {3, 700}}));
}

TEST_F(StateStoreTest, OldSnapshotsLeaveNothingBehind) {
  save(std::string(3'000'000, 'x'));
  save("short");
  EXPECT_EQ(entries(), 2U);
}

TEST_F(StateStoreTest, ADamagedSnapshotIsNotBelieved) {
  save(std::string(100, 'x'));
  put("predictor/piece/0000000000000001/00000000", std::string(100, 'y'));
  EXPECT_FALSE(load().has_value());
  save("again");
  EXPECT_EQ(load()->model, "again");
}

TEST_F(StateStoreTest, AHeadThatIsNoneIsNotBelieved) {
  save("x");
  put("predictor/current", "nonsense");
  EXPECT_FALSE(load().has_value());
  save("again");
  EXPECT_EQ(load()->model, "again");
}

// What a kill in the middle of the second snapshot leaves: its pieces, and the head of the first.
TEST_F(StateStoreTest, AnUnfinishedSnapshotLeavesTheOneBefore) {
  save("first");
  put("predictor/piece/0000000000000002/00000000", "torn");
  put("predictor/piece/0000000000000002/00000001", "torn");
  EXPECT_EQ(load()->model, "first");
  save("second");
  EXPECT_EQ(load()->model, "second");
  EXPECT_EQ(entries(), 2U);
}

}  // namespace
}  // namespace forelog::predictor
