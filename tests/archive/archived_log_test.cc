#include "broker/archive/archived_log.h"

#include "broker/base/crc32c.h"
#include "tests/archive/archived_partition.h"

namespace forelog::archive::test {
namespace {

using cache::LoadCause;
using cache::LoadKind;

class ArchivedLogTest : public ArchiveTest {
 protected:
  ColdRequest request(std::int64_t from, Bytes size_max = 1_MiB) const {
    return {.from = Offset(from), .limit = partition->end(), .size_max = size_max, .at_least_one_batch = true};
  }
  // One synchronous attempt.
  Result<ColdRead> attempt(const ColdRequest& asked) {
    Result<ColdRead> read;
    machine.cores().run_as(0, [&] { read = log->try_read(asked, landed); });
    return read;
  }
  Task<Result<ColdRead>> read_when_there(ColdRequest asked, Deadline deadline) {
    while (true) {
      auto read = log->try_read(asked, landed);
      if (!read || read->size() > 0 || !read->waiting) co_return read;
      bool in_time = co_await landed->wait(deadline);
      if (!in_time) co_return fail(ErrorCode::kTimeout, "test");
    }
  }
  Result<ColdRead> read(const ColdRequest& asked, Duration within = 30s) {
    return run(world, machine, read_when_there(asked, world.now() + within));
  }
  // All from `from` to the end, as a consumer reads it.
  std::string consume(std::int64_t from, Bytes size_max) {
    std::string out;
    for (Offset at{from}; at < partition->end();) {
      auto part = read(request(at.value(), size_max));
      if (!part) return part.error().text();
      CHECK(part->size() > 0, "no progress");
      CHECK(part->start == at);
      CHECK(part->size() == total_size(part->batches));
      out += flatten(part->batches).text();
      at = part->end;
    }
    return out;
  }

  std::shared_ptr<Event> landed = std::make_shared<Event>(machine.env().clock);
};

Task<void> look_up_into(ArchivedLog& log, std::int64_t timestamp, Offset expected, int& right) {
  auto found = co_await log.find_by_time(Offset(0), timestamp, kForever);
  if (found && *found && (*found)->offset == expected) ++right;
}

TEST_F(ArchivedLogTest, ReadsEveryByteOverBlocksAndShards) {
  make({{700, 1000}, {3, 600'000}, {1, 10}, {40, 50'000}});
  EXPECT_TRUE(consume(0, 1_MiB) == partition->bytes(0, partition->batches.size()));
  EXPECT_TRUE(consume(5, 100'000) == partition->bytes(5, partition->batches.size()));
}

TEST_F(ArchivedLogTest, AMissStartsTheLoadAndSaysWhatToWaitFor) {
  make({{1000, 1000}});
  auto first = attempt(request(500));
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->waiting);
  EXPECT_EQ(first->size(), 0);
  auto later = read(request(500, 20'000));
  EXPECT_EQ(later->start, Offset(500));
  EXPECT_EQ(later->first_timestamp, 1000 + 5000);
  EXPECT_EQ(later->from_archive, later->size());
  auto again = attempt(request(500, 20'000));
  EXPECT_EQ(again->from_memory, later->size());
  EXPECT_FALSE(again->waiting);
}

// A client that comes back late has not waited for longer than the load took.
TEST_F(ArchivedLogTest, TellsWhenWhatItReturnsCameIntoMemory) {
  make({{1000, 1000}});
  machine.faults().archive = {50ms, 50ms};
  ASSERT_TRUE(attempt(request(500, 20'000))->waiting);
  world.run_for(5s);  // the index is here
  auto asked = world.now();
  ASSERT_TRUE(attempt(request(500, 20'000))->waiting);
  world.run_for(5s);
  auto read_late = attempt(request(500, 20'000));
  ASSERT_GT(read_late->size(), 0);
  EXPECT_GE(read_late->ready - asked, 50ms);
  EXPECT_LE(read_late->ready - asked, 100ms);
  EXPECT_EQ(attempt(request(500, 20'000))->ready, read_late->ready);
}

TEST_F(ArchivedLogTest, AnswersWithWhatIsWarmBeforeWhatIsMissing) {
  make({{1000, 1000}});
  ASSERT_TRUE(read(request(0, 1000)));
  machine.faults().archive = {1h, 1h};
  auto part = attempt(request(0, 900'000));
  ASSERT_TRUE(part);
  EXPECT_GT(part->size(), 200'000);
  EXPECT_LE(part->size(), 5 * kBlockSize);
}

TEST_F(ArchivedLogTest, CutsAtBatchesAndNeverPassesTheLimit) {
  make({{100, 1000}});
  ASSERT_TRUE(read(request(0)));
  auto cut = attempt(request(0, 2500));
  EXPECT_EQ(cut->end, Offset(2));
  EXPECT_TRUE(flatten(cut->batches).text() == partition->bytes(0, 2));
  auto limited = request(90);
  limited.limit = Offset(95);
  EXPECT_EQ(attempt(limited)->end, Offset(95));
  limited.from = Offset(95);
  EXPECT_EQ(attempt(limited)->size(), 0);
  EXPECT_FALSE(attempt(limited)->waiting);
}

TEST_F(ArchivedLogTest, TheFirstBatchComesWhateverItsSizeButOnlyIfAsked) {
  make({{3, 600'000}});
  EXPECT_EQ(read(request(1, 10))->end, Offset(2));
  auto strict = request(1, 10);
  strict.at_least_one_batch = false;
  auto nothing = attempt(strict);
  EXPECT_EQ(nothing->size(), 0);
  EXPECT_FALSE(nothing->waiting);
}

TEST_F(ArchivedLogTest, OffsetsOutsideAreOutOfRange) {
  make({{10, 100}, {10, 100}});
  machine.cores().run_as(0, [&] { log->set_shards({partition->shards[1]}); });
  EXPECT_EQ(attempt(request(9)).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(attempt(request(21)).error().code, ErrorCode::kOffsetOutOfRange);
  EXPECT_EQ(attempt(request(20))->size(), 0);
}

TEST_F(ArchivedLogTest, OneRequestIsOneLoadHoweverOftenItIsRepeated) {
  make({{4000, 1000}}, 256);
  for (int i = 0; i < 50; ++i) {
    (void)attempt(request(0, 4_MiB));
    world.run_for(1ms);
  }
  ASSERT_TRUE(read(request(0, 4_MiB)));
  world.run_for(1s);
  EXPECT_LE(machine.archive().traffic().gets, 3U);  // footer, first megabyte, the rest
}

TEST_F(ArchivedLogTest, TheNextShardLoadsBesideThisOne) {
  make({{100, 1000}, {100, 1000}, {100, 1000}});
  for (std::size_t i = 0; i < 3; ++i) (void)run(world, machine, footers->get(partition->id(i), std::nullopt, kForever));
  (void)attempt(request(50, 120'000));
  EXPECT_TRUE(cache->in_flight({partition->id(0), 0}));
  EXPECT_TRUE(cache->in_flight({partition->id(1), 0}));
  EXPECT_FALSE(cache->in_flight({partition->id(2), 0}));
}

// Two blocks of cache, and a batch that lies in both: the next shard must not take the place of either.
TEST_F(ArchivedLogTest, TheNextShardWaitsWhereTheCacheIsTooSmallForBoth) {
  make({{8, 75'000}, {8, 75'000}}, 2);
  for (std::size_t i = 0; i < 2; ++i) (void)run(world, machine, footers->get(partition->id(i), std::nullopt, kForever));
  for (auto until = world.now() + 1s; world.now() < until; world.run_for(1ms)) {
    auto across = attempt(request(6, 220'000));
    ASSERT_TRUE(across) << across.error().text();
    if (across->size() > 0) return;
    EXPECT_FALSE(cache->in_flight({partition->id(1), 0}));
  }
  FAIL() << "nothing comes";
}

TEST_F(ArchivedLogTest, AnOutageIsARetriableErrorInTimeAndThenHeals) {
  make({{1000, 1000}});
  machine.faults().archive_outage = true;
  auto began = world.now();
  auto failed = read(request(0));
  ASSERT_FALSE(failed);
  EXPECT_TRUE(is_retriable(failed.error().code));
  EXPECT_LT(world.now() - began, 6s);
  machine.faults().archive_outage = false;
  world.run_for(1s);
  EXPECT_TRUE(consume(0, 1_MiB) == partition->bytes(0, 1000));
}

TEST_F(ArchivedLogTest, ASilentArchiveTimesOut) {
  make({{1000, 1000}});
  (void)run(world, machine, footers->get(partition->id(0), std::nullopt, kForever));
  machine.faults().archive_silent = true;
  auto failed = read(request(0));
  ASSERT_FALSE(failed);
  EXPECT_TRUE(is_retriable(failed.error().code));
}

TEST_F(ArchivedLogTest, ABadArchiveChangesNoByte) {
  make({{2000, 1000}, {8, 300'000}}, 24);
  auto& faults = machine.faults();
  faults.archive_failure_rate = 0.1;
  faults.archive_break_rate = 0.1;
  faults.archive_wrong_bytes_rate = 0.05;
  std::string out;
  for (Offset at{0}; at < partition->end();) {
    auto part = read(request(at.value(), 700'000));
    if (!part) {
      ASSERT_TRUE(is_retriable(part.error().code) || part.error().code == ErrorCode::kCorruptFile)
          << part.error().text();
      world.run_for(300ms);
      continue;
    }
    out += flatten(part->batches).text();
    at = part->end;
  }
  EXPECT_TRUE(out == partition->bytes(0, partition->batches.size()));
}

Task<void> follow(ArchivedLog& log, env::Clock& clock, Offset from, Offset end, std::string& out, int& done) {
  auto landed = std::make_shared<Event>(clock);
  for (auto at = from; at < end;) {
    auto read = log.try_read({.from = at, .limit = end, .size_max = 300'000, .at_least_one_batch = true}, landed);
    CHECK(read.has_value());
    for (const auto& slice : read->batches) out += slice.text();
    at = read->end;
    if (read->size() == 0) co_await landed->wait(clock.now() + 500ms);  // as a Fetch does, told or not
  }
  ++done;
}

TEST_F(ArchivedLogTest, ACacheMuchSmallerThanWhatIsReadStillMakesProgress) {
  make({{300, 10'000}, {300, 10'000}, {20, 150'000}}, 8);
  int done = 0;
  std::vector<std::string> out(6);
  for (std::size_t i = 0; i < out.size(); ++i) {
    machine.cores().spawn(CoreId{0}, follow(*log, machine.env().clock, Offset(static_cast<std::int64_t>(i) * 50),
                                            partition->end(), out[i], done));
  }
  auto finished = [&] {
    EXPECT_LE(cache->used() + cache->reserved(), cache->capacity());
    return done == static_cast<int>(out.size());
  };
  ASSERT_TRUE(world.run_until(finished, 600s));
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(out[i] == partition->bytes(i * 50, 620)) << i;
}

// The least that a core may have: two blocks, which one batch may need at once. Readers of several must not take turns
// in taking each other's half.
TEST_F(ArchivedLogTest, ReadersOfBatchesThatTakeTheWholeCacheAllGetToTheEnd) {
  std::vector<ShardPlan> plans;
  for (int i = 0; i < 16; ++i) plans.push_back({6, 50'000 + static_cast<std::size_t>(i) * 12'000});
  make(std::move(plans), 2);
  int done = 0;
  std::vector<std::string> out(3);
  for (std::size_t i = 0; i < out.size(); ++i) {
    machine.cores().spawn(CoreId{0}, follow(*log, machine.env().clock, Offset(static_cast<std::int64_t>(i) * 12),
                                            partition->end(), out[i], done));
  }
  EXPECT_TRUE(world.run_until([&] { return done == static_cast<int>(out.size()); }, 1h));
  for (std::size_t i = 0; i < out.size(); ++i) {
    EXPECT_TRUE(out[i] == partition->bytes(i * 12, partition->batches.size())) << i << " has " << out[i].size();
  }
}

// The index leads to a batch in the block before it, and it reaches into the block after: more than there is room for.
TEST_F(ArchivedLogTest, ABatchThatReachesOverTwoBlocksIsReadWithoutTheOneBeforeThem) {
  make({{27, 10'000, Epoch(0), 255'000}}, 2);
  ASSERT_EQ(cache::block_of(partition->footers[0].position_for(Offset(27))), 0U);
  ASSERT_EQ(partition->footers[0].block_count(), 3U);
  auto got = read(request(27));
  ASSERT_TRUE(got) << got.error().text();
  EXPECT_TRUE(flatten(got->batches).text() == partition->bytes(27, 28));
}

TEST_F(ArchivedLogTest, ABatchTooLargeForTheCacheIsAnErrorNotAHang) {
  make({{1, 3'000'000}}, 8);
  auto failed = read(request(0));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kOverloaded);
}

TEST_F(ArchivedLogTest, PrefetchedBlocksAreReadFromMemory) {
  make({{1000, 1000}});
  auto ranges = run(world, machine, log->resolve(Offset(300), Offset(600), 10_MiB, kForever));
  ASSERT_TRUE(ranges);
  ASSERT_EQ(ranges->size(), 1U);
  LoadCause cause{.kind = LoadKind::prefetch, .tag = 9};
  machine.cores().run_as(0, [&] { cache->start_load(ranges->front(), cause); });
  world.run_for(1s);
  auto asked = request(300, 10_MiB);
  asked.limit = Offset(600);
  auto part = attempt(asked);
  EXPECT_FALSE(part->waiting);
  EXPECT_EQ(part->end, Offset(600));
  EXPECT_EQ(part->from_archive, 0);
  EXPECT_EQ(part->cause.tag, 9U);
}

TEST_F(ArchivedLogTest, ResolveNamesTheBlocksOfEveryShardUpToItsBudget) {
  make({{1000, 1000}, {1000, 1000}});
  auto all = *run(world, machine, log->resolve(Offset(0), Offset(2000), 10_MiB, kForever));
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0], (cache::BlockRange{partition->id(0), 0, cache::block_count(partition->shards[0].size)}));
  auto one_offset = *run(world, machine, log->resolve(Offset(1500), Offset(1501), 10_MiB, kForever));
  ASSERT_EQ(one_offset.size(), 1U);
  EXPECT_LE(one_offset[0].count, 2U);
  auto little = *run(world, machine, log->resolve(Offset(0), Offset(2000), 512_KiB, kForever));
  ASSERT_EQ(little.size(), 1U);
  EXPECT_EQ(little[0].count, 2U);
}

TEST_F(ArchivedLogTest, FindsRecordsByTime) {
  make({{1000, 1000}, {3, 600'000}});
  auto at = [&](std::int64_t timestamp) {
    auto found = run(world, machine, log->find_by_time(Offset(0), timestamp, kForever));
    return found && *found ? (*found)->offset.value() : -1;
  };
  EXPECT_EQ(at(0), 0);
  EXPECT_EQ(at(1000 + 10 * 700), 700);
  EXPECT_EQ(at(1000 + 10 * 700 + 1), 701);
  EXPECT_EQ(at(1000 + 10 * 1001), 1001);
  EXPECT_EQ(at(1000 + 10 * 1003), -1);
}

TEST_F(ArchivedLogTest, FindsTheNewestRecordOfWhatIsLeftOfTheLog) {
  make({{1000, 1000}, {3, 600'000}, {1, 10}});
  auto newest = [&](std::int64_t from, std::int64_t limit, log::TimestampedOffset than = {}) {
    auto found = run(world, machine, log->max_timestamp(Offset(from), Offset(limit), than, kForever));
    return found ? found->offset.value() : -2;
  };
  EXPECT_EQ(newest(0, 1004), 1003);
  EXPECT_EQ(newest(0, 1003), 1002);
  EXPECT_EQ(newest(0, 700), 699) << "not above the limit, though the shard has newer ones";
  EXPECT_EQ(newest(700, 701), 700);
  EXPECT_EQ(newest(701, 701), -1) << "nothing is left";
  EXPECT_EQ(newest(0, 700, {1000 + 6990, Offset(2000)}), 699) << "of two with the same time the older";
  EXPECT_EQ(newest(0, 700, {1000 + 6991, Offset(2000)}), 2000);
  auto loads = cache->metrics().loads[static_cast<std::size_t>(LoadKind::demand)]->value();
  EXPECT_EQ(newest(0, 1004, {100'000, Offset(2000)}), 2000) << "newer than all of the archive";
  EXPECT_EQ(cache->metrics().loads[static_cast<std::size_t>(LoadKind::demand)]->value(), loads);
}

TEST_F(ArchivedLogTest, LooksUpTimesFromTheStartOfTheLogOn) {
  make({{1000, 1000}, {3, 600'000}});
  auto from = [&](std::int64_t start, std::int64_t timestamp) {
    auto found = run(world, machine, log->find_by_time(Offset(start), timestamp, kForever));
    return found && *found ? (*found)->offset.value() : -1;
  };
  EXPECT_EQ(from(700, 0), 700) << "deleted records are not found, those behind them are";
  EXPECT_EQ(from(700, 1000 + 10 * 800), 800);
  EXPECT_EQ(from(1001, 0), 1001);
}

// In a cache of two blocks each use of a block may be its last moment there.
TEST_F(ArchivedLogTest, LooksUpTimesWithOneLoadABlockHoweverSmallTheCache) {
  make({{30, 1000}, {30, 1000}, {30, 1000}, {30, 1000}}, 2);
  int found = 0;
  for (std::int64_t shard = 0; shard < 4; ++shard) {
    auto offset = shard * 30 + 29;
    machine.cores().spawn(CoreId{0}, look_up_into(*log, 1000 + 10 * offset, Offset(offset), found));
  }
  ASSERT_TRUE(world.run_until([&] { return found == 4; }, 60s));
  EXPECT_EQ(cache->metrics().loads[static_cast<std::size_t>(LoadKind::demand)]->value(), 4);
}

TEST_F(ArchivedLogTest, ALookUpByTimeFollowsAShardThatIsRewritten) {
  make({{10, 1000}, {10, 30'000}});
  // The same batches under the next generation; the old object goes at once.
  auto rewrite = [&] {
    auto& footer = partition->footers[1];
    world.objects().erase(object_key("forelog", footer.shard));
    footer.shard.generation = footer.shard.generation + 1;
    auto bytes = partition->bytes(10, 20) + std::string(footer.encode().text());
    world.objects()[object_key("forelog", footer.shard)] = Buffer::take(std::move(bytes));
    partition->shards[1].generation = footer.shard.generation;
    log->set_shards(partition->shards);
  };
  int right = 0, wanted = 0;
  for (auto delay = 0ms; delay < 150ms; delay += 5ms) {
    rewrite();  // nothing of it is in memory
    machine.cores().spawn(CoreId(0), look_up_into(*log, 1150, Offset(15), right));
    world.run_for(delay);
    rewrite();
    world.run_for(10s);
    EXPECT_EQ(right, ++wanted) << "rewritten after " << delay.count() << " ms";
    right = wanted;
  }
}

// Checksums say that bytes are those written, not that a broker wrote them: who can write to the bucket can do both.
TEST_F(ArchivedLogTest, BatchesThatAreNotInOrderAreAnError) {
  make({{10, 1000}});
  auto plant = [&](const std::string& data) {
    auto footer = partition->footers[0];
    footer.block_crcs[0] = crc32c(as_bytes(data));
    world.objects()[partition->key(0)] = Buffer::take(data + std::string(footer.encode().text()));
  };
  plant(partition->bytes(0, 3) + partition->batches[4] + partition->batches[3] + partition->bytes(5, 10));
  EXPECT_EQ(read(request(4))->end, Offset(5)) << "what is in order before the damage";
  EXPECT_EQ(read(request(5)).error().code, ErrorCode::kCorruptFile);
  EXPECT_FALSE(run(world, machine, log->find_by_time(Offset(0), 1090, world.now() + 1s)));
}

TEST_F(ArchivedLogTest, ABatchPastTheEndOfItsShardIsAnError) {
  make({{10, 1000}, {10, 1000}});
  auto footer = partition->footers[0];
  auto data = partition->bytes(0, 9) + partition->batches[19];
  footer.block_crcs[0] = crc32c(as_bytes(data));
  world.objects()[partition->key(0)] = Buffer::take(data + std::string(footer.encode().text()));
  EXPECT_EQ(read(request(9)).error().code, ErrorCode::kCorruptFile);
}

TEST_F(ArchivedLogTest, KnowsWhereEpochsEnd) {
  make({{10, 100, Epoch{1}}, {10, 100, Epoch{1}}, {10, 100, Epoch{4}}});
  auto end = [&](int epoch) {
    auto found = log->epoch_end(Epoch(epoch));
    return found ? std::pair(found->epoch.value(), found->end.value()) : std::pair(-1, std::int64_t{-1});
  };
  EXPECT_EQ(end(0), std::pair(-1, std::int64_t{-1}));
  EXPECT_EQ(end(1), std::pair(1, std::int64_t{20}));
  EXPECT_EQ(end(3), std::pair(1, std::int64_t{20}));
  EXPECT_EQ(end(9), std::pair(4, std::int64_t{30}));
}

// Readers, a prefetcher that guesses, a small cache and a bad archive; another story with each seed.
class ArchiveStorm : public ArchiveTest, public testing::WithParamInterface<int> {};

Task<void> read_through(ArchivedLog& log, env::Clock& clock, Offset from, Offset end, std::string& out, int& done) {
  auto landed = std::make_shared<Event>(clock);
  for (auto at = from; at < end;) {
    auto read = log.try_read({.from = at, .limit = end, .size_max = 500'000, .at_least_one_batch = true}, landed);
    if (!read) {
      CHECK(is_retriable(read.error().code) || read.error().code == ErrorCode::kCorruptFile);
      co_await sleep_until(clock, clock.now() + 100ms);
      continue;
    }
    for (const auto& slice : read->batches) out += slice.text();
    at = read->end;
    if (read->size() == 0) co_await landed->wait(clock.now() + 500ms);  // as a Fetch does, told or not
  }
  ++done;
}

Task<void> guess(cache::BlockCache& cache, const ArchivedPartition& partition, env::Clock& clock, env::Random& random,
                 const bool& stop) {
  while (!stop) {
    auto shard = random.below(partition.shards.size());
    auto blocks = partition.footers[shard].block_count();
    auto first = static_cast<std::uint32_t>(random.below(blocks));
    cache::LoadCause cause{.kind = random.below(4) == 0 ? LoadKind::head : LoadKind::prefetch,
                           .keep_until = clock.now() + 5s};
    cache.start_load({partition.id(shard), first, 1 + static_cast<std::uint32_t>(random.below(blocks - first))}, cause);
    if (random.below(5) == 0) cache.drop_behind({partition.id(shard), first, 1}, cache::ReaderId{0});
    co_await sleep_until(clock, clock.now() + 7ms);
  }
}

TEST_P(ArchiveStorm, EveryReaderGetsEveryByteWithinTheBudget) {
  for (int i = 0; i < GetParam(); ++i) world.random().next();
  make({{400, 5000}, {9, 250'000}, {500, 4000}}, 6 + static_cast<std::uint32_t>(GetParam()) * 3);
  auto& faults = machine.faults();
  faults.archive_failure_rate = faults.archive_break_rate = faults.archive_wrong_bytes_rate = 0.03;
  bool stop = false;
  int done = 0;
  std::vector<std::string> out(5);
  auto& clock = machine.env().clock;
  machine.cores().spawn(CoreId{0}, guess(*cache, *partition, clock, machine.env().random, stop));
  for (std::size_t i = 0; i < out.size(); ++i) {
    Offset from{static_cast<std::int64_t>(i) * 100};
    machine.cores().spawn(CoreId{0}, read_through(*log, clock, from, partition->end(), out[i], done));
  }
  auto finished = [&] {
    EXPECT_LE(cache->used() + cache->reserved(), cache->capacity());
    return done == static_cast<int>(out.size());
  };
  EXPECT_TRUE(world.run_until(finished, 1h));
  stop = true;
  world.run_for(1s);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_TRUE(out[i] == partition->bytes(i * 100, 909)) << i;
}

INSTANTIATE_TEST_SUITE_P(Seeds, ArchiveStorm, testing::Range(0, 12));

}  // namespace
}  // namespace forelog::archive::test
