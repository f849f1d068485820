#include "broker/log/batch.h"

#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/limits.h"
#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch_builder.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

Buffer three_records(Codec codec = Codec::none) {
  BatchBuilder builder(Offset(10));
  builder.add(100, "k1", "v1")
      .add(300, std::nullopt, "v2", {{"h", "x"}, {"null", std::nullopt}})
      .add(200, "k3", std::nullopt);
  builder.codec(codec);
  return std::move(builder).build();
}

std::string text_of(Records records) {
  std::string out;
  Record record;
  while (true) {
    auto more = records.next(record);
    if (!more) return out + name_of(more.error().code).data();
    if (!*more) return out;
    auto show = [](const std::optional<ByteView>& v) { return v ? std::string(as_text(*v)) : "null"; };
    out += std::to_string(record.offset.value()) + "@" + std::to_string(record.timestamp) + " " + show(record.key) +
           "=" + show(record.value);
    for (const auto& header : record.headers) out += " " + std::string(header.key) + ":" + show(header.value);
    out += "\n";
  }
}

// `batch` with one field overwritten, and a checksum that fits.
template <class T>
Buffer with(const Buffer& batch, std::size_t at, T value) {
  ByteWriter out;
  out.bytes(batch);
  out.patch(at, value);
  out.patch(17, crc32c(out.view().subspan(21)));
  return std::move(out).take_buffer();
}

ErrorCode refused(const Buffer& batch, const BatchRules& rules = {}) {
  auto checked = validate(batch, rules);
  return checked ? ErrorCode::kUnknown : checked.error().code;
}

TEST(Batch, RecordsComeBackAsAddedWhateverTheCodec) {
  for (auto codec : {Codec::none, Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    auto batch = three_records(codec);
    auto view = *BatchView::parse(batch);
    EXPECT_EQ(view.codec(), codec);
    EXPECT_TRUE(view.crc_matches());
    EXPECT_EQ(view.end_offset(), Offset(13));
    EXPECT_EQ(text_of(*Records::open(view, 1_MiB)), "10@100 k1=v1\n11@300 null=v2 h:x null:null\n12@200 k3=null\n")
        << name_of(codec);
  }
}

TEST(Batch, OpeningIsBoundedWhateverTheInputClaims) {
  BatchBuilder builder;
  builder.add(0, "k", std::string(1 << 20, 'a'));
  for (auto codec : {Codec::gzip, Codec::snappy, Codec::lz4, Codec::zstd}) {
    auto copy = builder;
    auto batch = std::move(copy.codec(codec)).build();
    EXPECT_EQ(Records::open(*BatchView::parse(batch), 1000).error().code, ErrorCode::kMessageTooLarge)
        << name_of(codec);
    EXPECT_TRUE(Records::open(*BatchView::parse(batch), 2_MiB).has_value());
  }
}

TEST(Batch, XerialFramesOfSnappyAreRead) {
  auto raw = *compress(Codec::snappy, as_bytes("hello"));
  ByteWriter framed;
  framed.text(std::string_view("\x82SNAPPY\0", 8));
  framed.i32(1);
  framed.i32(1);
  for (int i = 0; i < 2; ++i) {
    framed.i32(static_cast<std::int32_t>(raw.size()));
    framed.bytes(raw);
  }
  EXPECT_EQ(decompress(Codec::snappy, framed.view(), 100)->text(), "hellohello");
  EXPECT_FALSE(decompress(Codec::snappy, framed.view().first(framed.size() - 1), 100).has_value());
}

TEST(Batch, StampingOffsetAndEpochLeavesTheChecksumRight) {
  auto batch = three_records();
  set_base_offset(writable(batch), Offset(77));
  set_leader_epoch(writable(batch), Epoch(5));
  auto view = *BatchView::parse(batch);
  EXPECT_EQ(view.base_offset(), Offset(77));
  EXPECT_EQ(view.leader_epoch(), Epoch(5));
  EXPECT_TRUE(view.crc_matches());
  set_append_time(writable(batch), from_ms(4000));
  EXPECT_TRUE(view.crc_matches());
  EXPECT_EQ(text_of(*Records::open(view, 1_MiB)).substr(0, 7), "77@4000");
}

TEST(Batch, LastSequenceWraps) {
  BatchBuilder builder;
  builder.add(0, "a", "a").add(0, "b", "b").producer(ProducerId(1), 0, INT32_MAX);
  auto batch = std::move(builder).build();
  EXPECT_EQ(BatchView::parse(batch)->last_sequence(), 0);
}

TEST(BatchRules, RefuseWhatKafkaRefuses) {
  auto good = three_records();
  EXPECT_EQ(refused(good), ErrorCode::kUnknown);
  EXPECT_EQ(refused(good.slice(0, good.size() - 1)), ErrorCode::kCorruptMessage);
  EXPECT_EQ(refused(flatten({good, good})), ErrorCode::kInvalidRecord) << "one batch a partition";
  EXPECT_EQ(refused(with(good, 16, std::int8_t{1})), ErrorCode::kCorruptMessage) << "format v1";
  EXPECT_EQ(refused(with(good, 57, std::int32_t{2})), ErrorCode::kInvalidRecord) << "count and offsets disagree";
  EXPECT_EQ(refused(with(good, 21, std::int16_t{0x20})), ErrorCode::kInvalidRecord) << "control batch";
  EXPECT_EQ(refused(with(good, 21, std::int16_t{7})), ErrorCode::kUnsupportedCompressionType);
  EXPECT_EQ(refused(with(with(good, 57, std::int32_t{1000}), 23, std::int32_t{999})), ErrorCode::kInvalidRecord);
  // The offset that the producer wrote is not used, but records are numbered from it when they are opened.
  EXPECT_EQ(refused(with(good, 0, std::int64_t{INT64_MAX})), ErrorCode::kInvalidRecord) << "offsets beyond 64 bits";
  BatchRules rules;
  rules.size_max = static_cast<Bytes>(good.size()) - 1;
  EXPECT_EQ(refused(good, rules), ErrorCode::kMessageTooLarge);
  rules = {};
  rules.zstd_allowed = false;
  EXPECT_EQ(refused(three_records(Codec::zstd), rules), ErrorCode::kUnsupportedCompressionType);
  rules = {};
  rules.keys_required = true;
  EXPECT_EQ(refused(three_records(Codec::lz4), rules), ErrorCode::kInvalidRecord);
  auto flipped = Buffer::copy_of(good);
  writable(flipped)[70] ^= std::byte{1};
  EXPECT_EQ(refused(flipped), ErrorCode::kCorruptMessage);
}

TEST(BatchRules, TimestampsStayWithinBoundsUnlessTheBrokerStampsThem) {
  BatchRules rules;
  rules.now = from_ms(1000);
  rules.timestamp_before_max_ms = 900;
  rules.timestamp_after_max_ms = INT64_MAX;
  EXPECT_EQ(refused(three_records(), rules), ErrorCode::kUnknown);
  rules.timestamp_before_max_ms = 899;
  EXPECT_EQ(refused(three_records(), rules), ErrorCode::kInvalidTimestamp);
  rules.log_append_time = true;
  EXPECT_EQ(refused(three_records(), rules), ErrorCode::kUnknown);
}

TEST(Batch, TimestampIsFoundInsideTheBatch) {
  auto batch = three_records(Codec::gzip);
  auto view = *BatchView::parse(batch);
  EXPECT_EQ(**find_by_time(view, 101, 1_MiB), (TimestampedOffset{300, Offset(11)}));
  EXPECT_FALSE(find_by_time(view, 301, 1_MiB)->has_value());
  EXPECT_EQ((*find_by_time(view, 0, 1_MiB, Offset(11)))->offset, Offset(11)) << "the log starts inside the batch";
  EXPECT_FALSE(find_by_time(view, 0, 1_MiB, Offset(13))->has_value());
  EXPECT_EQ(*find_max_timestamp(view, 1_MiB), (TimestampedOffset{300, Offset(11)}));
}

// Five batches of three offsets each, from 0 on.
Slices run_cut_at(std::size_t piece) {
  std::string all;
  for (int i = 0; i < 5; ++i) {
    BatchBuilder builder(Offset(3 * i));
    builder.add(1, "k", "v").add(2, "k", "v").add(3, "k", "v");
    all += std::move(builder).build().text();
  }
  Slices out;
  auto whole = Buffer::take(std::move(all));
  for (std::size_t at = 0; at < whole.size(); at += piece)
    out.push_back(whole.slice(at, std::min(piece, whole.size() - at)));
  return out;
}

TEST(BatchRun, IsCutAtBatchesHoweverTheBytesWereCut) {
  auto size = run_cut_at(1 << 20)[0].size() / 5;
  for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{61}, size, size + 1, std::size_t{1} << 20}) {
    auto run = run_cut_at(piece);
    auto taken = *take_batches(run, Offset(4), Offset(12), static_cast<Bytes>(2 * size), false);
    EXPECT_EQ(taken.start, Offset(3));
    EXPECT_EQ(taken.end, Offset(9));
    EXPECT_EQ(taken.skipped, size);
    EXPECT_EQ(flatten(taken.bytes).text(), flatten(run).slice(size, 2 * size).text());
    EXPECT_EQ(take_batches(run, Offset(4), Offset(6), 1_MiB, false)->end, Offset(6)) << "below the limit";
    EXPECT_EQ(take_batches(run, Offset(4), Offset(12), 1, true)->end, Offset(6)) << "at least one";
    EXPECT_TRUE(take_batches(run, Offset(4), Offset(12), 1, false)->bytes.empty());
    int seen = 0;
    EXPECT_TRUE(for_each_batch(run, [&](BatchView batch) { return batch.crc_matches() && ++seen > 0; }).has_value());
    EXPECT_EQ(seen, 5);
  }
}

TEST(BatchRun, SaysWhatIsMissingWhenTheBatchIsCutOff) {
  auto whole = flatten(run_cut_at(1 << 20));
  auto size = whole.size() / 5;
  auto taken = *take_batches({whole.slice(0, size + 70)}, Offset(4), Offset(15), 1_MiB, true);
  EXPECT_TRUE(taken.bytes.empty());
  EXPECT_EQ(taken.skipped, size);
  EXPECT_EQ(taken.needed, size);
}

TEST(Batch, HostileBytesAreRefusedWithoutHarm) {
  env::SeededRandom random(3);
  auto good = three_records(Codec::none);
  BatchRules rules;
  rules.open_records = true;
  for (int round = 0; round < 20000; ++round) {
    auto codec = static_cast<Codec>(random.below(5));
    auto bytes = Buffer::copy_of(round % 2 == 0 ? good.view() : three_records(codec).view());
    for (std::uint64_t i = 0; i <= random.below(4); ++i) {
      writable(bytes)[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    }
    auto crc = with(bytes, 0, std::int64_t{0});  // so that the checksum does not shield what is behind it
    auto view = validate(crc, rules);
    if (view) (void)text_of(*Records::open(*view, 1_MiB));
    auto cut = crc.slice(0, random.below(crc.size() + 1));
    (void)take_batches({cut}, Offset(0), Offset(100), 1_MiB, true);
  }
}

}  // namespace
}  // namespace forelog::log
