#include "broker/prefetch/read_ahead.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

namespace forelog::prefetch {
namespace {

constexpr Position kEnd = 1'000'000;
constexpr Bytes kShare = 256_MiB;

// Positions are blocks; a read takes 1 MiB, so four of them.
class Reader {
 public:
  explicit Reader(ReadAheads& all, std::uint64_t stream = 1) : all_(all), stream_(stream) {}
  std::vector<Ahead> read(Position from, Position blocks = 4, Duration wait = 0ms) {
    now_ += 2ms + wait;
    return all_.on_read(stream_, {from, from + blocks, blocks * kBlockSize, wait}, now_, 50ms, end);
  }
  Position end = kEnd;

 private:
  ReadAheads& all_;
  std::uint64_t stream_;
  Instant now_{1s};
};

Position last_named(const std::vector<Ahead>& named, Position otherwise) {
  for (const auto& ahead : named) otherwise = std::max(otherwise, ahead.to);
  return otherwise;
}

TEST(ReadAhead, BeginsWithTheSecondReadInOrder) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  EXPECT_TRUE(reader.read(100).empty());
  auto named = reader.read(104);
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].from, 108);
  EXPECT_EQ(named[0].to, 108 + 16) << "one extent";
  EXPECT_FALSE(named[0].strided);
}

TEST(ReadAhead, AskingAgainForTheSameReadIsNeitherAJumpNorProgress) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  reader.read(100);
  EXPECT_TRUE(reader.read(100).empty());
  EXPECT_TRUE(reader.read(100).empty());
  EXPECT_FALSE(reader.read(104).empty());
}

TEST(ReadAhead, RandomReadersGetNothing) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position at : {500, 20, 7000, 310, 9000, 45, 8000, 777, 123456, 3, 60000, 41}) {
    EXPECT_TRUE(reader.read(at).empty()) << at;
    EXPECT_EQ(all.window(1), 0);
  }
}

TEST(ReadAhead, ALateReadOpensTheWindowToWhatTheReaderDrainsAsFarAsItHasEarnedIt) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);  // 1 MiB in 2 ms, so 25 MiB in the 50 ms of a load
  reader.read(0), reader.read(4);
  EXPECT_EQ(all.window(1), 4_MiB);
  reader.read(8, 4, 30ms);
  EXPECT_EQ(all.window(1), 12_MiB) << "four times what it has read";
  reader.read(12, 4, 30ms);
  EXPECT_EQ(all.window(1), 24_MiB);
  for (Position at = 16; at < 80; at += 4) reader.read(at, 4, 30ms);
  EXPECT_EQ(all.window(1), 64_MiB) << "reads that are late with a window that ought to do widen it further";
}

TEST(ReadAhead, ALateReaderThatIsSlowKeepsASmallWindow) {
  ReadAheads all({}, kShare, 100);
  Instant now{1s};
  for (Position at = 0; at < 40; at += 4) {  // 1 MiB in 100 ms
    now += 130ms;
    all.on_read(1, {at, at + 4, 1_MiB, at == 8 ? 30ms : 0ms}, now, 50ms, kEnd);
  }
  EXPECT_LE(all.window(1), 8_MiB);
}

TEST(ReadAhead, AMissNamesWhatComesBehindItBeforeItsAnswer) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  reader.read(100);
  auto named = all.on_miss(1, 104, Instant{2s}, 50ms, kEnd);
  ASSERT_EQ(named.size(), 1U);
  EXPECT_EQ(named[0].from, 104) << "what the miss itself loads is on its way and costs nothing";
  EXPECT_EQ(named[0].to, 104 + 16);
  EXPECT_TRUE(all.on_miss(1, 104, Instant{2s}, 50ms, kEnd).empty()) << "asked again while it waits";
  EXPECT_EQ(all.window(1), 4_MiB);
  reader.read(104, 4, 50ms);
  EXPECT_EQ(all.window(1), 4_MiB) << "one wait counts once";
}

TEST(ReadAhead, AMissElsewhereNamesNothing) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  EXPECT_TRUE(all.on_miss(1, 100, Instant{2s}, 50ms, kEnd).empty()) << "of a reader never seen";
  reader.read(100);
  EXPECT_TRUE(all.on_miss(1, 5000, Instant{2s}, 50ms, kEnd).empty());
  EXPECT_EQ(all.window(1), 0);
}

TEST(ReadAhead, WindowGrowsToWhatIsDrainedDuringALoadAndNoFurther) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position at = 0; at < 4000; at += 4) reader.read(at);  // 1 MiB in 2 ms, so 25 MiB in the 50 ms of a load
  EXPECT_GE(all.window(1), 25_MiB);
  EXPECT_LE(all.window(1), 64_MiB);
}

TEST(ReadAhead, NamesEveryPositionOnceAndInWholeExtents) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  Position named_until = 8;
  for (Position at = 0; at < 4000; at += 4) {
    for (const auto& ahead : reader.read(at)) {
      EXPECT_EQ(ahead.from, named_until);
      EXPECT_GE(ahead.bytes, 4_MiB);
      named_until = ahead.to;
    }
  }
  EXPECT_GT(named_until, 4000);
}

TEST(ReadAhead, StopsAtTheKnownEnd) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  reader.end = 30;
  Position furthest = 0;
  for (Position at = 0; at < 28; at += 4) furthest = last_named(reader.read(at, 4, 20ms), furthest);
  EXPECT_EQ(furthest, 30);
}

TEST(ReadAhead, WasteHalvesTheWindow) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  reader.read(0), reader.read(4), reader.read(8, 4, 30ms);
  EXPECT_EQ(all.window(1), 12_MiB);
  all.on_waste(1);
  EXPECT_EQ(all.window(1), 6_MiB);
}

TEST(ReadAhead, StridedReadersGetTheirNextRuns) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position run = 0; run < 3; ++run) EXPECT_TRUE(reader.read(run * 1000).empty());
  auto named = reader.read(3000);
  ASSERT_FALSE(named.empty());
  EXPECT_TRUE(named[0].strided);
  EXPECT_EQ(named[0].from, 4000);
  EXPECT_EQ(named[0].to, 4004);
  Position next = named.back().from + 1000;
  for (const auto& ahead : reader.read(4000, 4, 20ms)) {  // late: more runs, none of them twice
    EXPECT_EQ(ahead.from, next);
    next += 1000;
  }
  EXPECT_GT(next, named.back().from + 1000);
}

TEST(ReadAhead, StridesMayRunBackwardsAndEndAtTheStart) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position at : {500, 400, 300}) reader.read(at);
  auto named = reader.read(200);
  ASSERT_EQ(named.size(), 2U);
  EXPECT_EQ(named[0].from, 100);
  EXPECT_EQ(named[1].from, 0);
}

TEST(ReadAhead, AStridedReaderThatSettlesDownBecomesSequential) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position run = 0; run < 5; ++run) reader.read(run * 1000);
  Position furthest = 0;
  for (Position at = 4004; at < 4100; at += 4) furthest = last_named(reader.read(at), furthest);
  EXPECT_GT(furthest, 4100);
}

TEST(ReadAhead, AReaderThatJumpsOftenRisksNoMoreThanItHasRead) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  Bytes named = 0, read = 0;
  Position at = 0;
  for (int run = 1; run < 60; ++run) {
    at += 997 * run + (run % 7) * 131;
    for (Position i = 0; i < 3 + run % 3; ++i) {
      auto list = reader.read(at % 900'000 + 4 * i);
      if (run > 5) read += 1_MiB;
      for (const auto& ahead : list) named += run > 5 ? ahead.bytes : 0;
    }
  }
  EXPECT_LE(named, 2 * read);
}

TEST(ReadAhead, AReaderWhoseRunsEndAtOnceMustProveThatThisOneIsLonger) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  for (Position at : {500, 9000, 45, 8000, 777, 60000}) reader.read(at);
  EXPECT_TRUE(reader.read(60004).empty());
  EXPECT_TRUE(reader.read(60008).empty());
  EXPECT_FALSE(reader.read(60012).empty());
}

TEST(ReadAhead, AJobThatAlwaysReadsTheSameAmountIsNotOverrun) {
  ReadAheads all({}, kShare, 100);
  Reader reader(all);
  std::uint64_t state = 7;
  auto somewhere = [&state] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<Position>((state >> 33) % 800'000);
  };
  Position past_end = 0;
  for (int job = 0; job < 12; ++job) {
    auto start = somewhere();
    for (Position i = 0; i < 40; ++i) {
      auto furthest = last_named(reader.read(start + 4 * i, 4, 10ms), 0);
      if (job >= 6) past_end += std::max<Position>(0, furthest - (start + 160));
    }
  }
  EXPECT_EQ(past_end, 0);
}

TEST(ReadAheads, ShareOneAllowanceEvenlyAndLendWhatIsUnused) {
  ReadAheads all({}, 64_MiB, 100);
  Reader alone(all, 1);
  for (Position at = 0; at < 400; at += 4) alone.read(at, 4, 20ms);
  EXPECT_EQ(all.window(1), 64_MiB) << "nobody else needs it";
  std::vector<Reader> readers;
  for (std::uint64_t i = 2; i <= 16; ++i) readers.emplace_back(all, i);
  for (Position at = 400; at < 1200; at += 4) {
    alone.read(at, 4, 20ms);
    for (auto& reader : readers) reader.read(at, 4, 20ms);
  }
  Bytes sum = 0;
  for (std::uint64_t i = 1; i <= 16; ++i) {
    EXPECT_GE(all.window(i), 4_MiB);
    sum += all.window(i);
  }
  EXPECT_LE(sum, 64_MiB);
}

TEST(ReadAheads, ForgetTheLeastRecentReaderWhenThereAreTooMany) {
  ReadAheads all({}, kShare, 3);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    Reader reader(all, i);
    reader.read(0), reader.read(4);
  }
  EXPECT_EQ(all.size(), 3U);
  EXPECT_EQ(all.window(1), 0);
  EXPECT_EQ(all.window(5), 4_MiB);
}

// Readers that take 1 MiB at a time at `rate` from an archive that answers after 50 ms, closed loop. Yields bytes a
// second. Nothing is ever evicted: what is measured is only whether the window opens fast and far enough.
double cold_rate(int partitions, double rate, Bytes share) {
  ReadAheads all({}, share, 100);
  constexpr Duration latency = 50ms;
  constexpr Position blocks_each = 4096;  // 1 GiB
  std::vector<std::map<Position, Instant>> arrives(static_cast<std::size_t>(partitions));
  Instant now{1s}, began = now;
  auto take = Duration(static_cast<std::int64_t>(1_MiB / rate * 1e9));
  for (Position at = 0; at < blocks_each; at += 4) {
    for (std::size_t p = 0; p < arrives.size(); ++p) {
      auto asked = now;
      auto name = [&](const std::vector<Ahead>& named) {
        for (const auto& ahead : named) {
          for (Position b = ahead.from; b < ahead.to; ++b) arrives[p].try_emplace(b, now + latency);
        }
      };
      bool missed = false;
      for (Position b = at; b < at + 4; ++b) missed |= arrives[p].try_emplace(b, asked + latency).second;
      if (missed) name(all.on_miss(p, at, now, latency, blocks_each));
      for (Position b = at; b < at + 4; ++b) now = std::max(now, arrives[p].at(b));
      auto wait = now - asked;
      now += take;
      name(all.on_read(p, {at, at + 4, 1_MiB, wait}, now, latency, blocks_each));
    }
  }
  return static_cast<double>(blocks_each * kBlockSize * partitions) / to_seconds(now - began);
}

TEST(ReadAhead, StreamsAGigabyteOfAColdPartitionAtFourFifthsOfWarmSpeed) {
  EXPECT_GE(cold_rate(1, 300e6, 200_MiB), 0.9 * 300e6);
  EXPECT_GE(cold_rate(1, 1000e6, 200_MiB), 0.8 * 1000e6);
}

TEST(ReadAhead, StreamsSixteenColdPartitionsAtFourFifthsOfWarmSpeed) {
  EXPECT_GE(cold_rate(16, 300e6, 200_MiB), 0.9 * 300e6);
  EXPECT_GE(cold_rate(16, 1000e6, 200_MiB), 0.8 * 1000e6);
}

}  // namespace
}  // namespace forelog::prefetch
