#include "broker/cache/disk_tier.h"

#include "broker/base/crc32c.h"
#include "broker/base/log.h"
#include "tests/support/run_task.h"

#include <map>

#include <gtest/gtest.h>

namespace forelog::cache {
namespace {

constexpr ShardId kShard{{TopicId{{7}}, PartitionId{0}}, Offset{0}, Generation{0}};
constexpr ShardId kGrowing{{TopicId{{7}}, PartitionId{0}}, Offset{0}, Generation{-3}};

BlockId block(std::uint32_t index) { return {kShard, index}; }

Buffer contents(std::uint32_t index) {
  std::string text(static_cast<std::size_t>(kBlockSize), static_cast<char>('a' + index % 26));
  text.replace(0, 8, std::to_string(10'000'000 + index));
  return Buffer::take(std::move(text));
}

class DiskTierTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_sink([this](LogLevel, std::string_view line) { log.emplace_back(line); });
    settings.disk_path = "/cache";
    settings.disk_bytes = 64_MiB;
    settings.disk_free_bytes = 0;
    settings.disk_write_rate = 1_GiB;
  }
  void TearDown() override {
    if (tier) stop();
    set_log_sink({});
  }
  void start() {
    machine.cores().run_as(0, [&] {
      registry = std::make_shared<MetricsRegistry>();
      DiskTier::Parts parts{machine.cores(), machine.env().clock, machine.env().random, machine.env().cache_files,
                            *registry};
      tier = std::make_unique<DiskTier>(parts, settings);
      tier->start();
    });
    ASSERT_TRUE(world.run_until([&] { return tier->loaded() || tier->metrics().writes_paused.value() != 0; }, 60s));
  }
  void stop() {
    test::run(world, machine, tier->stop());
    tier.reset();
  }
  void cut_power(env::SimulatedWorld::Loss loss) {
    world.crash(machine, loss);
    env::abandon(std::shared_ptr<DiskTier>(std::move(tier)));
    env::abandon(std::move(registry));
    world.run_for(1s);
    world.restart(machine);
  }
  void use(std::uint32_t index, int core = 0) {
    machine.cores().run_as(core, [&] { tier->on_use(block(index), contents(index)); });
  }
  void use_all(std::uint32_t from, std::uint32_t count) {
    for (auto i = from; i < from + count; ++i) use(i), settle();
  }
  void settle() {
    world.run_until([&] { return tier->idle(); }, 10s);
  }
  // What it finds of blocks [from, from + count), each checked against what was put there.
  std::vector<std::uint32_t> find(std::uint32_t from, std::uint32_t count, ShardId shard = kShard, int core = 0) {
    std::vector<std::uint32_t> found;
    Tier::OnBlock on_block = [&](std::uint32_t index, Buffer bytes) {
      EXPECT_EQ(bytes, contents(index)) << "block " << index << " has another's bytes";
      found.push_back(index);
    };
    test::run(world, machine, tier->find({shard, from, count}, sums, std::move(on_block)), CoreId{core});
    world.run_for(1ms);
    return found;
  }
  // As in the footer of a shard whose blocks are `contents`.
  static BlockSums sums_of(std::uint32_t count) {
    auto all = std::make_shared<std::vector<std::uint32_t>>();
    for (std::uint32_t i = 0; i < count; ++i) all->push_back(crc32c(contents(i)));
    return all;
  }
  std::size_t logged(std::string_view event) const {
    return static_cast<std::size_t>(
        std::count_if(log.begin(), log.end(), [&](const auto& line) { return line.find(event) != std::string::npos; }));
  }
  std::vector<std::string> region_files() {
    return *test::run(world, machine, machine.env().cache_files.list("/cache"));
  }

  env::SimulatedWorld world{1};
  env::SimulatedMachine& machine = world.machine(2);
  std::shared_ptr<MetricsRegistry> registry;
  CacheSettings settings;
  std::unique_ptr<DiskTier> tier;
  std::vector<std::string> log;
  BlockSums sums = sums_of(1000);
};

using Indexes = std::vector<std::uint32_t>;

TEST_F(DiskTierTest, WhatAReaderUsedIsFoundOnEveryCore) {
  start();
  use(3), use(5, 1);
  settle();
  world.run_for(10ms);
  EXPECT_EQ(find(0, 10), (Indexes{3, 5}));
  EXPECT_EQ(find(4, 3, kShard, 1), (Indexes{5}));
}

TEST_F(DiskTierTest, ACleanRestartForgetsNothing) {
  start();
  use_all(0, 40);
  stop();
  start();
  EXPECT_EQ(find(0, 50).size(), 40U);
  EXPECT_EQ(logged("cache_disk_found"), 1U);
  EXPECT_EQ(tier->metrics().corrupt_blocks.value(), 0);
}

TEST_F(DiskTierTest, APowerCutLosesBlocksButNeverServesATornOne) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    start();
    auto from = static_cast<std::uint32_t>(seed * 100);
    use_all(from, 30);
    for (std::uint32_t i = from + 30; i < from + 36; ++i) use(i);  // on their way when the power goes
    world.run_for(Duration(static_cast<std::int64_t>(world.random().below(2'000'000))));
    cut_power(seed % 4 == 0 ? env::SimulatedWorld::Loss::all : env::SimulatedWorld::Loss::some);
    start();
    find(0, 900);  // checks every block that it yields
    use_all(from, 3);
    EXPECT_EQ(find(from, 3).size(), 3U) << "what was lost is taken again";
    stop();
  }
}

TEST_F(DiskTierTest, ARottenBlockIsAMissAndIsTakenAgain) {
  start();
  use_all(0, 3);
  auto place = *tier->index().find(block(1));
  ASSERT_TRUE(machine.cache_disk().flip_bit("/cache/" + region_file_name(place.region), place.position + 5000));
  EXPECT_EQ(find(0, 3), (Indexes{0, 2}));
  EXPECT_EQ(tier->metrics().corrupt_blocks.value(), 1);
  EXPECT_EQ(logged("cache_disk_block_unreadable"), 1U);
  use_all(1, 1);
  EXPECT_EQ(find(0, 3), (Indexes{0, 1, 2}));
}

TEST_F(DiskTierTest, WhatIsNotAsTheIndexSaysIsAMissAndMayBeTakenAnew) {
  start();
  use_all(0, 3);
  stop();
  start();
  // The log was lost and restored, and has given the shard's name to other bytes.
  auto restored = std::make_shared<std::vector<std::uint32_t>>(*sums);
  restored->at(1) ^= 1;
  restored->resize(2);
  sums = restored;
  EXPECT_EQ(find(0, 3), (Indexes{0}));
  EXPECT_EQ(tier->metrics().corrupt_blocks.value(), 2);
  EXPECT_EQ(tier->index().blocks(), 1U);
}

TEST_F(DiskTierTest, RotAnywhereInAFileCostsWarmthAndNothingElse) {
  for (int round = 0; round < 10; ++round) {
    start();
    use_all(0, 12);
    stop();
    for (const auto& name : region_files()) {
      for (int flips = 0; flips < 3; ++flips)
        (void)machine.cache_disk().flip_bit("/cache/" + name, static_cast<Bytes>(world.random().below(3'200'000)));
    }
    // The ends, where headers and index lie, are hit for sure.
    (void)machine.cache_disk().flip_bit("/cache/" + region_files().front(), round * 2);
    start();
    find(0, 12);
    stop();
  }
}

TEST_F(DiskTierTest, ARegionNobodyUnderstandsIsRemoved) {
  start();
  use_all(0, 2);
  stop();
  ASSERT_TRUE(machine.cache_disk().flip_bit("/cache/" + region_files().front(), 5));  // the version
  start();
  EXPECT_TRUE(find(0, 2).empty());
  EXPECT_TRUE(region_files().empty());
  EXPECT_EQ(logged("cache_disk_region_dropped"), 1U);
}

TEST_F(DiskTierTest, OthersFilesAreLeftAlone) {
  auto path = env::Path("/cache/holiday.jpg");
  ASSERT_TRUE(test::run(world, machine, machine.env().cache_files.create_directories("/cache")));
  ASSERT_TRUE(test::run(world, machine, machine.env().cache_files.open(path, env::OpenMode::create)));
  start();
  use_all(0, 400);
  EXPECT_TRUE(test::run(world, machine, machine.env().cache_files.open(path, env::OpenMode::read)));
}

TEST_F(DiskTierTest, ItStaysWithinItsBoundAndKeepsWhatComesBack) {
  settings.disk_bytes = 8_MiB;
  start();
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < 60; ++i) {
      use_all(i % 30, 1);
      ASSERT_LE(machine.cache_disk().used(), 8_MiB);
    }
  }
  EXPECT_GT(tier->metrics().declined.value(), 0);
  EXPECT_GT(find(0, 60).size(), 15U);
}

TEST_F(DiskTierTest, ASmallerBoundIsKeptFromTheStartOn) {
  start();
  use_all(0, 100);
  stop();
  settings.disk_bytes = 8_MiB;
  start();
  EXPECT_LE(machine.cache_disk().used(), 8_MiB);
  EXPECT_LE(tier->metrics().bytes.value(), 8_MiB);
  EXPECT_GT(find(0, 100).size(), 15U);
}

TEST_F(DiskTierTest, AFullDiskPausesWritingSaysSoOnceAndGoesOn) {
  start();
  use_all(0, 8);
  machine.cache_faults().disk_capacity = machine.cache_disk().used() + 100'000;
  use_all(8, 10);
  EXPECT_EQ(tier->metrics().writes_paused.value(), 1);
  EXPECT_EQ(logged("cache_disk_writes_paused"), 1U);
  EXPECT_LE(machine.cache_disk().used(), machine.cache_faults().disk_capacity);
  EXPECT_GE(find(0, 8).size(), 8U) << "what is there is still served";
  machine.cache_faults() = {};
  world.run_for(31s);
  use_all(20, 3);
  EXPECT_EQ(find(20, 3).size(), 3U);
  EXPECT_EQ(tier->metrics().writes_paused.value(), 0);
  EXPECT_EQ(logged("cache_disk_writes_again"), 1U);
}

TEST_F(DiskTierTest, SpaceThatOthersNeedIsGivenBack) {
  settings.disk_free_bytes = 4_MiB;
  machine.cache_faults().disk_capacity = 40_MiB;
  start();
  use_all(0, 150);
  EXPECT_GE(40_MiB - machine.cache_disk().used(), 4_MiB);
  auto blocks = find(0, 150).size();
  EXPECT_GT(blocks, 90U);
  machine.cache_faults().disk_capacity = 20_MiB;  // as if somebody else had written 20 MiB
  world.run_for(11s);
  EXPECT_GE(20_MiB - machine.cache_disk().used(), 4_MiB);
  EXPECT_LT(find(0, 150).size(), blocks);
  EXPECT_GT(tier->metrics().removed_regions.value(), 0);
}

// The last close of a removed file frees its blocks, on another thread and some time later; a tier that looks too early
// would give up all it has, and then writing.
TEST_F(DiskTierTest, SpaceThatComesBackLateIsWaitedFor) {
  settings.disk_bytes = 256_MiB;  // in regions of 4 MiB, of which the disk holds one
  settings.disk_free_bytes = 4_MiB;
  machine.cache_faults().disk_capacity = 10_MiB;
  machine.cache_faults().disk_space_returns = 100ms;
  start();
  use_all(0, 100);
  EXPECT_EQ(tier->metrics().writes_paused.value(), 0);
  EXPECT_EQ(logged("cache_disk_writes_paused"), 0U);
  EXPECT_EQ(find(99, 1).size(), 1U);
}

TEST_F(DiskTierTest, ARegionTooManyIsNotGivenUpForSpaceThatIsOnItsWay) {
  settings.disk_free_bytes = 4_MiB;
  machine.cache_faults().disk_capacity = 40_MiB;
  machine.cache_faults().disk_space_returns = 300ms;
  start();
  use_all(0, 150);
  EXPECT_GT(find(0, 150).size(), 120U);
}

TEST_F(DiskTierTest, ADiskThatIsTooFullFromTheStartIsLeftAlone) {
  settings.disk_free_bytes = 4_MiB;
  machine.cache_faults().disk_capacity = 4_MiB;
  start();
  use_all(0, 5);
  EXPECT_EQ(machine.cache_disk().used(), 0);
  EXPECT_EQ(tier->metrics().writes_paused.value(), 1);
}

TEST_F(DiskTierTest, ABrokenDiskAtTheStartIsLookedAtAgain) {
  start();
  use_all(0, 5);
  stop();
  machine.cache_faults().disk_error_rate = 1;
  start();
  EXPECT_FALSE(tier->loaded());
  machine.cache_faults() = {};
  world.run_for(31s);
  EXPECT_TRUE(tier->loaded());
  EXPECT_EQ(find(0, 5).size(), 5U);
}

TEST_F(DiskTierTest, WhatComesFasterThanTheDiskIsDropped) {
  settings.disk_write_rate = 1_MiB;
  start();
  for (std::uint32_t i = 0; i < 200; ++i) use(i);
  EXPECT_GT(tier->metrics().dropped.value(), 100);
  auto before = machine.cache_disk().used();
  world.run_for(4s);
  EXPECT_LE(machine.cache_disk().used() - before, 5_MiB + kBlockSize * 8);
  EXPECT_GE(machine.cache_disk().used() - before, 3_MiB);
}

TEST_F(DiskTierTest, FailingReadsAndWritesAreMisses) {
  start();
  use_all(0, 40);
  machine.cache_faults().disk_error_rate = 0.3;
  for (int i = 0; i < 20; ++i) {
    find(0, 40);
    use_all(100 + static_cast<std::uint32_t>(i), 1);
    world.run_for(10s);
  }
  EXPECT_GT(tier->metrics().read_errors.value(), 0);
  machine.cache_faults() = {};
  world.run_for(31s);
  use_all(500, 2);
  EXPECT_EQ(find(500, 2).size(), 2U);
}

TEST_F(DiskTierTest, WrittenThroughBlocksGetTheirFinalNameAndKeepItOverARestart) {
  start();
  auto put = [&](std::uint32_t index) {
    return test::run(world, machine, tier->put({kGrowing, index}, contents(index), world.now() + 1s), CoreId{1});
  };
  for (std::uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(put(i));
  EXPECT_TRUE(find(0, 5).empty());
  auto sums = std::make_shared<std::vector<std::uint32_t>>();
  for (std::uint32_t i = 0; i < 5; ++i) sums->push_back(tier->index().find({kGrowing, i})->crc);
  machine.cores().run_as(0, [&] { tier->link(kGrowing, Generation(0), sums); });
  EXPECT_EQ(find(0, 5).size(), 5U);
  settle();
  cut_power(env::SimulatedWorld::Loss::some);
  start();
  auto kept = find(0, 5).size();
  stop();
  start();
  EXPECT_EQ(find(0, 5).size(), kept);
}

TEST_F(DiskTierTest, ALinkReachesBlocksThatAreStillOnTheirWay) {
  settings.disk_write_rate = 4_MiB;
  start();
  auto sums = std::make_shared<std::vector<std::uint32_t>>();
  auto put = [](DiskTier& to, std::uint32_t i, Deadline deadline) -> Task<void> {
    co_await to.put({kGrowing, i}, contents(i), deadline);
  };
  for (std::uint32_t i = 0; i < 12; ++i) {
    sums->push_back(crc32c(contents(i)));
    machine.cores().spawn(CoreId{0}, put(*tier, i, world.now() + 100s));
  }
  world.run_until([&] { return tier->index().blocks() > 0; }, 10s);
  machine.cores().run_as(0, [&] { tier->link(kGrowing, Generation(0), sums); });
  world.run_for(30s);
  EXPECT_EQ(find(0, 12).size(), 12U);
  stop();
  start();
  EXPECT_EQ(find(0, 12).size(), 12U);
}

TEST_F(DiskTierTest, UnlinkedBlocksAreGoneAfterARestart) {
  start();
  EXPECT_TRUE(test::run(world, machine, tier->put({kGrowing, 0}, contents(0), world.now() + 1s)));
  stop();
  start();
  EXPECT_EQ(tier->index().blocks(), 0U);
}

}  // namespace
}  // namespace forelog::cache
