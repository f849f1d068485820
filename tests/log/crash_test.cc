// Crashes at any moment, on a disk that tears, fails and fills up: what was acknowledged is there once, in order,
// unchanged, and what nobody appended is not.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using Loss = env::SimulatedWorld::Loss;

struct Acknowledged {
  std::vector<std::string> appended;  // values by batch, in order of appending in this life and those before
  std::size_t durable = 0;            // how many of them were acknowledged
};

class CrashTest : public test::StorageTest, public testing::WithParamInterface<int> {
 protected:
  // Appends at random until the world stops; notes what was acknowledged.
  static Task<void> write(CrashTest& test, int partition) {
    auto& env = test.machine->env();
    auto& log = test.storage->log(partition);
    auto& book = test.books[partition];
    while (!test.stopping) {
      auto count = 1 + env.random.below(3);
      for (std::uint64_t i = 0; i < count; ++i) {
        auto text = std::to_string(partition) + ":" + std::to_string(book.appended.size()) + ":" +
                    std::string(env.random.below(9000), 'x');
        auto appended = log.append(test::batch_of(text, 1, to_ms(env.clock.wall())), test.epoch, env.clock.wall());
        if (appended) {
          book.appended.push_back(text);
          EXPECT_EQ(appended->base, Offset(static_cast<std::int64_t>(book.appended.size() - 1)));
        }
      }
      auto deadline = env.clock.now() + Duration(static_cast<std::int64_t>(env.random.below(5'000'000)));
      auto waited = co_await log.wait_durable(log.end(), deadline);
      // Only the durable end counts: an answer that is late is still an answer.
      book.durable = std::max(book.durable, static_cast<std::size_t>(log.durable_end().value()));
      (void)waited;
      co_await sleep_until(env.clock,
                           env.clock.now() + Duration(static_cast<std::int64_t>(env.random.below(1'000'000))));
      if (env.random.below(10) == 0) log.cut(env.clock.wall());
      if (env.random.below(10) == 0) (void)co_await log.seal_up_to(log.durable_end());
      if (env.random.below(20) == 0) (void)co_await log.checkpoint();
    }
    ++test.stopped;
  }

  void verify(int partition) {
    auto& book = books[partition];
    // What the broker said is durable at this very moment also counts, but nobody was told: only `book.durable` was.
    auto found = values(Offset(0), partition, 20000);
    ASSERT_GE(found.size(), book.durable) << "acknowledged batches are gone from partition " << partition;
    ASSERT_LE(found.size(), book.appended.size());
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], book.appended[i]) << "batch " << i;
    EXPECT_EQ(storage->observers[partition].records, static_cast<std::int64_t>(found.size()));
    book.appended.resize(found.size());
    book.durable = found.size();
  }

  std::map<int, Acknowledged> books;
  Epoch epoch{0};
  bool stopping = false;
  int stopped = 0;
};

TEST_P(CrashTest, AcknowledgedBatchesSurvive) {
  make_world(static_cast<std::uint64_t>(GetParam()));
  auto& random = world->random();
  tail_max = static_cast<Bytes>(32_KiB << random.below(8));
  wal_file = static_cast<Bytes>(32_KiB << random.below(6));
  std::map<int, TopicSettings> partitions;
  for (int p = 0; p < 3; ++p) {
    partitions[p].segment_bytes = static_cast<std::int32_t>(2000 << random.below(8));
    if (p == 2) partitions[p].durability = Durability::page_cache;
  }
  start(partitions);
  for (int life = 0; life < 5 && !HasFatalFailure(); ++life) {
    epoch = Epoch(life);
    stopping = false;
    stopped = 0;
    machine->faults().disk_error_rate = random.chance(0.3) ? 0.02 : 0;
    machine->faults().disk_slow_rate = random.chance(0.3) ? 0.05 : 0;
    if (random.chance(0.2)) machine->faults().disk_capacity = machine->disk().used() + 200_KiB;
    for (int p = 0; p < 3; ++p) machine->cores().spawn(CoreId(0), write(*this, p));
    world->run_for(Duration(static_cast<std::int64_t>(random.below(100'000'000))));
    bool clean = random.chance(0.2);
    if (clean) {
      machine->faults() = {};
      stopping = true;
      ASSERT_TRUE(world->run_until([&] { return stopped == 3; }, 60s));
      for (auto& [p, book] : books) book.durable = static_cast<std::size_t>(storage->log(p).durable_end().value());
      stop();
    } else {
      auto loss = random.chance(0.5) ? Loss::all : Loss::some;
      // The page cache outlives the broker's crash, not the machine's.
      books[2].durable = static_cast<std::size_t>(storage->log(2).local_start().value());
      crash(loss);
      machine->faults() = {};
    }
    start(partitions);
    if (clean) {
      EXPECT_EQ(storage->metrics.recovered_bytes.value(), 0) << "a clean stop leaves nothing to scan";
    }
    for (int p = 0; p < 3 && !HasFatalFailure(); ++p) verify(p);
  }
  if (!HasFatalFailure()) stop();
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, testing::Range(0, 16));

}  // namespace
}  // namespace forelog::log
