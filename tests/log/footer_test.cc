#include "broker/log/footer.h"

#include "broker/base/crc32c.h"
#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch_builder.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

const ShardId kShard{{TopicId{{1, 2, 3}}, PartitionId(4)}, Offset(100), Generation(0)};

// A shard of batches of two offsets, about 10 KB each, with timestamps 1000, 1010, …
struct Shard {
  explicit Shard(int batches) : builder(kShard) {
    for (int i = 0; i < batches; ++i) {
      BatchBuilder batch(Offset(100 + 2 * i));
      batch.add(1000 + 10 * i, "k", std::string(5000, static_cast<char>('a' + i % 26)))
          .add(1000 + 10 * i, "k", std::string(5000, 'z'));
      auto bytes = std::move(batch).build();
      set_leader_epoch(writable(bytes), Epoch(i < 5 ? 1 : 2));
      positions.push_back(static_cast<Bytes>(data.size()));
      builder.add(*BatchView::parse(bytes));
      data += bytes.text();
    }
  }
  FooterBuilder builder;
  std::string data;
  std::vector<Bytes> positions;
};

TEST(Footer, DecodesWhatItEncodes) {
  Shard shard(100);
  shard.builder.add_aborted({ProducerId(9), Offset(110), Offset(120)});
  auto footer = shard.builder.finish(Buffer::copy_of("producers"));
  auto encoded = footer.encode();
  EXPECT_EQ(*Footer::decode(encoded), footer);
  auto place = *find_footer(encoded.view().last(kFooterTrailerSize));
  EXPECT_EQ(place.footer_size, static_cast<Bytes>(encoded.size()));
  EXPECT_EQ(place.data_size, static_cast<Bytes>(shard.data.size()));
  EXPECT_EQ(footer.epochs, (std::vector<EpochStart>{{Epoch(1), Offset(100)}, {Epoch(2), Offset(110)}}));
}

TEST(Footer, IsTheSameWhetherBuiltAtOnceOrFromACheckpoint) {
  Shard whole(60);
  Shard half(30);
  auto checkpoint = half.builder.finish(Buffer::copy_of("then")).encode();
  FooterBuilder rest(*Footer::decode(checkpoint));
  for (std::size_t at = half.data.size(); at < whole.data.size();) {
    auto batch = *BatchView::parse(as_bytes(whole.data).subspan(at));
    rest.add(batch);
    at += batch.size();
  }
  EXPECT_EQ(rest.finish({}).encode(), whole.builder.finish({}).encode());
}

TEST(Footer, PositionIsThatOfABatchAtOrBeforeTheOffset) {
  Shard shard(100);
  auto footer = shard.builder.finish({});
  for (int i = 0; i < 100; ++i) {
    auto position = footer.position_for(Offset(101 + 2 * i));
    EXPECT_LE(position, shard.positions[static_cast<std::size_t>(i)]);
    EXPECT_GT(position + kIndexInterval + 11000, shard.positions[static_cast<std::size_t>(i)]);
    EXPECT_TRUE(std::binary_search(shard.positions.begin(), shard.positions.end(), position));
  }
  EXPECT_EQ(footer.position_for(Offset(5)), 0);
  EXPECT_EQ(footer.position_for(Offset(INT64_MIN)), 0);
}

TEST(Footer, TimeLeadsToAPlaceBeforeTheFirstBatchThatHasIt) {
  Shard shard(100);
  auto footer = shard.builder.finish({});
  for (int i = 0; i < 100; ++i) {
    auto position = footer.position_for_time(1000 + 10 * i - 5);
    ASSERT_TRUE(position.has_value());
    EXPECT_LE(*position, shard.positions[static_cast<std::size_t>(i)]);
    EXPECT_GT(*position + kIndexInterval + 11000, shard.positions[static_cast<std::size_t>(i)]);
  }
  EXPECT_FALSE(footer.position_for_time(1991).has_value());
}

TEST(Footer, BlocksAreThoseOfTheData) {
  Shard shard(60);
  auto footer = shard.builder.finish({});
  auto data = as_bytes(shard.data);
  ASSERT_EQ(footer.block_count(), 3U);
  for (std::uint32_t i = 0; i < 3; ++i) {
    auto at = static_cast<std::size_t>(i * kBlockSize);
    auto block = data.subspan(at, std::min(data.size() - at, static_cast<std::size_t>(kBlockSize)));
    EXPECT_EQ(footer.block_crc(i), crc32c(block));
    EXPECT_TRUE(verify_block(footer, i, block).has_value());
    EXPECT_EQ(verify_block(footer, i, block.first(block.size() - 1)).error().code, ErrorCode::kCorruptBlock);
  }
}

TEST(Footer, DamageIsRefused) {
  auto encoded = Shard(10).builder.finish(Buffer::copy_of("p")).encode();
  for (std::size_t at = 0; at < encoded.size(); ++at) {
    auto damaged = Buffer::copy_of(encoded.view());
    writable(damaged)[at] ^= std::byte{4};
    EXPECT_FALSE(Footer::decode(damaged).has_value()) << at;
    EXPECT_FALSE(Footer::decode(encoded.slice(0, at)).has_value());
  }
}

// The checksum does not shield the decoder from whoever can compute one.
TEST(Footer, HostileContentsAreRefusedWithoutHarm) {
  env::SeededRandom random(5);
  auto encoded = Shard(40).builder.finish(Buffer::copy_of("producers")).encode();
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(encoded.text());
    auto body = bytes.size() - kFooterTrailerSize;
    for (std::uint64_t i = 0; i <= random.below(4); ++i) bytes[random.below(body)] = static_cast<char>(random.next());
    auto crc = std::byteswap(crc32c(as_bytes(bytes).first(body + 16)));
    std::memcpy(bytes.data() + body + 16, &crc, sizeof crc);
    auto footer = Footer::decode(as_bytes(bytes));
    if (footer) EXPECT_LT(footer->position_for(Offset(120)), footer->size);
  }
}

}  // namespace
}  // namespace forelog::log
