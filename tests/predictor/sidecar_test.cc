#include "predictor/sidecar.h"

#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/prefetch/plan_shape.h"
#include "predictor/plan_codec.h"
#include "tests/support/golden.h"

#include <set>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace forelog::predictor {
namespace {

using apache::thrift::protocol::TCompactProtocol;
using apache::thrift::transport::TMemoryBuffer;

std::string encode(const thrift::AccessLogRecord& record) {
  auto buffer = std::make_shared<TMemoryBuffer>();
  TCompactProtocol protocol(buffer);
  record.write(&protocol);
  return buffer->getBufferAsString();
}

constexpr std::int64_t kStart = 1'790'000'000'000;  // wall time of the broker's boot, ms
constexpr std::int64_t kRecordsInABlock = 1000;     // so a bucket is 512 offsets

// A broker that writes an access log, and the sidecar that reads it.
class SidecarTest : public testing::Test {
 protected:
  static PredictorSettings settings() {
    PredictorSettings out;
    out.tracked_blocks = 4096;
    out.holdout_share = 0;
    return out;
  }
  thrift::AccessLogRecord record() {
    thrift::AccessLogRecord out;
    out.header.broker_id = 1;
    out.header.hint_endpoint = "10.0.0.1:9192";
    out.header.boot_id = 77;
    out.header.monotonic_us = clock_ms * 1000;
    out.header.wall_ms = kStart + clock_ms + broker_ahead_ms;
    return out;
  }
  std::vector<Outgoing> take(const thrift::AccessLogRecord& r) {
    std::vector<Outgoing> out;
    sidecar->take(encode(r), from_ms(kStart + clock_ms), out);
    return out;
  }
  void opens(std::int64_t reader, const std::string& client_id) {
    auto r = record();
    thrift::ReaderRecord body;
    body.reader = reader, body.client_id = client_id, body.principal = "User:alice",
    body.topic_id = std::string(16, 't');
    r.body.__set_reader(body);
    take(r);
  }
  std::vector<Outgoing> reads(std::int64_t reader, std::int32_t partition, std::int64_t first, std::int64_t last) {
    auto r = record();
    thrift::AccessRecord body;
    body.reader = reader, body.topic_id = std::string(16, 't'), body.partition = partition;
    body.first_offset = first, body.last_offset = last;
    body.bytes.archive = (last - first + 1) * kBlockSize / kRecordsInABlock;
    body.wait_cause = thrift::WaitCause::ARCHIVE;
    r.body.__set_access(body);
    auto out = take(r);
    clock_ms += 20;
    return out;
  }
  // The same job every time: two partitions in turn, from 100,000 on.
  std::vector<Outgoing> job(std::int64_t reader) {
    opens(reader, "billing-" + std::to_string(reader));
    std::vector<Outgoing> first_plans;
    for (std::int64_t i = 0; i < 10; ++i) {
      for (std::int32_t partition = 0; partition < 2; ++partition) {
        auto plans = reads(reader, partition, 100'000 + i * 1000, 100'000 + i * 1000 + 999);
        if (i == 0 && partition == 0) first_plans = plans;
      }
    }
    clock_ms += 3'600'000;
    return first_plans;
  }

  std::int64_t clock_ms = 1000;
  std::int64_t broker_ahead_ms = 0;  // its wall clock, of the predictor's
  std::unique_ptr<Sidecar> sidecar = std::make_unique<Sidecar>(settings(), from_ms(kStart));
};

TEST_F(SidecarTest, AJobThatComesBackGetsItsPlansAtItsFirstRead) {
  EXPECT_TRUE(job(1).empty());
  auto plans = job(2);
  bool warms_the_other = false, follows = false;
  for (const auto& [endpoint, plan] : plans) {
    EXPECT_EQ(endpoint, "10.0.0.1:9192");
    EXPECT_NE(plan.id, prefetch::kNoPlan);
    EXPECT_GT(plan.byte_budget, 0);
    if (const auto* warm = std::get_if<prefetch::WarmPlan>(&plan.body)) {
      for (const auto& hint : warm->hints) {
        auto offsets = std::get<prefetch::OffsetRange>(hint.range);
        warms_the_other |= hint.partition.partition == PartitionId(1) && offsets.from <= Offset(100'000) &&
                           Offset(100'000) < offsets.to;
      }
    }
    if (const auto* follow = std::get_if<prefetch::FollowPlan>(&plan.body)) {
      follows = true;
      EXPECT_EQ(follow->reader.client_stem, "billing");
      EXPECT_EQ(follow->reader.principal, "User:alice");
      ASSERT_TRUE(follow->until.has_value());
      EXPECT_GT(*follow->until, Offset(109'999));
      EXPECT_LT(*follow->until, Offset(112'000));
    }
  }
  EXPECT_TRUE(warms_the_other);
  EXPECT_TRUE(follows);
}

TEST_F(SidecarTest, PlansOfOneRunAndOfTheNextHaveDifferentIds) {
  std::set<prefetch::PlanId> ids;
  for (int run = 0; run < 2; ++run) {
    sidecar = std::make_unique<Sidecar>(settings(), from_ms(kStart + run));
    job(1);
    for (const auto& outgoing : job(2)) EXPECT_TRUE(ids.insert(outgoing.plan.id).second);
  }
  EXPECT_GT(ids.size(), 2U);
}

TEST_F(SidecarTest, AHeldOutReaderGetsNone) {
  auto all_held = settings();
  all_held.holdout_share = 1;
  sidecar = std::make_unique<Sidecar>(all_held, from_ms(kStart));
  job(1);
  EXPECT_TRUE(job(2).empty());
  EXPECT_GT(sidecar->insight().held_out, 0);
}

TEST_F(SidecarTest, WhileItCatchesUpItOnlyLearns) {
  job(1);
  std::vector<Outgoing> out;
  auto r = record();
  thrift::AccessRecord body;
  body.reader = 1, body.topic_id = std::string(16, 't'), body.first_offset = 100'000, body.last_offset = 100'999;
  body.bytes.archive = kBlockSize;
  r.body.__set_access(body);
  sidecar->take(encode(r), from_ms(kStart + clock_ms + 60'000), out);
  EXPECT_TRUE(out.empty());
  EXPECT_GT(sidecar->insight().late, 0);
}

TEST_F(SidecarTest, ABrokerWhoseClockWasSetForwardGetsPlansAgain) {
  broker_ahead_ms = -60'000;  // as after a boot, before it has asked for the time
  job(1);
  broker_ahead_ms = 0;
  EXPECT_FALSE(job(2).empty());
}

TEST_F(SidecarTest, ABrokerWhoseClockWasSetBackGetsPlansInTime) {
  broker_ahead_ms = 3'600'000;
  job(1);
  broker_ahead_ms = 0;
  auto now = Sidecar::instant(from_ms(kStart + clock_ms));
  int warm_plans = 0;
  for (const auto& [endpoint, plan] : job(2)) {
    const auto* warm = std::get_if<prefetch::WarmPlan>(&plan.body);
    if (warm == nullptr) continue;
    ++warm_plans;
    EXPECT_LE(warm->needed_by, now + 10s);
    EXPECT_GE(warm->needed_by, now - 1s);
  }
  EXPECT_GT(warm_plans, 0);
}

TEST_F(SidecarTest, KilledAndStartedAgainItKnowsTheJob) {
  job(1);
  auto snapshot = sidecar->save();
  sidecar = std::make_unique<Sidecar>(settings(), from_ms(kStart + 1));
  ASSERT_TRUE(sidecar->load(snapshot));
  EXPECT_FALSE(job(2).empty());
  EXPECT_FALSE(sidecar->load(snapshot.substr(0, snapshot.size() / 2)));
}

// What the first release had learnt is not learnt anew by the next.
TEST_F(SidecarTest, ASnapshotOfVersion1IsStillKnown) {
  job(1);
  auto stored = test::golden("predictor_snapshot_v1", sidecar->save());
  sidecar = std::make_unique<Sidecar>(settings(), from_ms(kStart + 1));
  ASSERT_TRUE(sidecar->load(stored));
  EXPECT_FALSE(job(2).empty());
}

TEST_F(SidecarTest, ItTellsWhatItKnowsOnlyWhenThatHasChanged) {
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel, std::string_view line) {
    if (line.find(" insight ") != std::string_view::npos) lines.emplace_back(line);
  });
  sidecar->log_insight();
  sidecar->log_insight();
  EXPECT_EQ(lines.size(), 1U) << "that it knows nothing is news once";
  job(1);
  sidecar->log_insight();
  for (int i = 0; i < 10; ++i) sidecar->log_insight();
  EXPECT_EQ(lines.size(), 2U);
  opens(99, "another");
  sidecar->log_insight();
  set_log_sink({});
  EXPECT_EQ(lines.size(), 3U);
}

TEST_F(SidecarTest, HostileRecordsAreCountedAndLeftOut) {
  std::vector<Outgoing> out;
  for (const auto* bytes : {"", "x", "\x1c\x1c\x1c\x1c", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    sidecar->take(bytes, from_ms(kStart), out);
  }
  EXPECT_GE(sidecar->insight().malformed, 2);
  auto r = record();
  thrift::AccessRecord body;
  body.topic_id = "short", body.first_offset = 5, body.last_offset = 9;
  body.bytes.archive = 100;
  r.body.__set_access(body);
  take(r);
  body.topic_id = std::string(16, 't'), body.last_offset = INT64_MAX, body.first_offset = 0;
  r.body.__set_access(body);
  take(r);
  body.first_offset = INT64_MAX - 1, body.bytes.archive = INT64_MAX;
  r.body.__set_access(body);
  take(r);
  r.header.wall_ms = INT64_MAX;
  take(r);
  r.header.wall_ms = INT64_MIN;
  take(r);
  EXPECT_GE(sidecar->insight().ignored, 3);
  EXPECT_TRUE(out.empty());
}

// What a record claims to hold costs no memory that it does not have.
TEST_F(SidecarTest, ARecordThatClaimsMillionsOfOffsetsTakesNoMemoryForThem) {
  auto r = record();
  thrift::GroupRecord body;
  body.offsets.resize(20);
  r.body.__set_group(body);
  auto bytes = encode(r);
  auto size = bytes.find("\xfc\x14");  // a list of 20 structs
  ASSERT_NE(size, std::string::npos);
  bytes.replace(size + 1, 1, "\x80\xda\xc4\x09");  // of 20,000,000
  auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  auto before = peak_kib();
  std::vector<Outgoing> out;
  sidecar->take(bytes, from_ms(kStart), out);
  EXPECT_EQ(sidecar->insight().malformed, 1);
  EXPECT_LT(peak_kib() - before, 100'000);
}

TEST(BlockMap, BucketsHoldAtMostAsManyRecordsAsABlock) {
  BlockMap map;
  PartitionKey key{.topic = {{1}}, .partition = PartitionId(3)};
  EXPECT_FALSE(map.place_of(key, Offset(0)).has_value());
  map.learn(key, Offset(0), Offset(999), kBlockSize);
  auto place = *map.place_of(key, Offset(512));
  EXPECT_EQ(place.block, 1);
  auto span = *map.span_of(place, 2);
  EXPECT_EQ(span.offsets, (prefetch::OffsetRange{Offset(512), Offset(1536)}));
  EXPECT_EQ(span.partition, key);
  EXPECT_FALSE(map.span_of({place.stream, INT64_MAX}).has_value());
  EXPECT_FALSE(map.span_of({99, 0}).has_value());
}

TEST(Planner, AFollowOfAVeryLongRangeIsStillAPlanThatABrokerTakes) {
  BlockMap blocks;
  PartitionKey key{.topic = {{1}}, .partition = PartitionId(3)};
  blocks.learn(key, Offset(0), Offset(999), kBlockSize);
  Names jobs(10);
  Planner planner({}, 1);
  Accepted follow{.candidate = {.generator = GeneratorId::sessions, .place = {0, 0}, .blocks = 16}, .probability = 0.9};
  follow.candidate.until = 4'000'000;  // a terabyte
  auto plans = planner.plan({follow}, blocks, jobs, Instant(10s), from_ms(kStart));
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(prefetch::malformed(plans[0].plan), std::nullopt);
}

TEST(PlanCodec, MomentsAreCountedFromTheSending) {
  prefetch::Plan plan;
  plan.id = prefetch::PlanId(8);
  plan.score = 0.75;
  plan.byte_budget = 1_MiB;
  plan.reason = prefetch::Reason::stream;
  plan.expires = Instant(30s);
  PartitionKey key{.topic = {{1, 2}}, .partition = PartitionId(3)};
  prefetch::Hint hint{key, prefetch::OffsetRange{Offset(5), Offset(9)}, 0.5, 1};
  plan.body = prefetch::ChainPlan{.reader = {.principal = "p", .client_stem = "c", .group = {}, .reader = {}},
                                  .partition = key,
                                  .trigger = {Offset(1), Offset(2)},
                                  .steps = {{hint, 40ms}},
                                  .fires_max = 7};
  auto sent = to_thrift(plan, Instant(10s));
  EXPECT_EQ(sent.plan_id, 8);
  EXPECT_EQ(sent.expires_in_ms, 20'000);
  EXPECT_EQ(sent.reason, thrift::Reason::STREAM);
  ASSERT_TRUE(sent.body.__isset.chain);
  EXPECT_EQ(sent.body.chain.fires_max, 7);
  EXPECT_EQ(sent.body.chain.steps[0].gap_us, 40'000);
  EXPECT_EQ(sent.body.chain.steps[0].hint.range.offsets.to_offset, 9);
  EXPECT_EQ(sent.body.chain.reader.client_stem, "c");
  EXPECT_FALSE(sent.body.chain.reader.__isset.group);
}

}  // namespace
}  // namespace forelog::predictor
