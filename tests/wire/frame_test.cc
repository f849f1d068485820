#include "broker/wire/frame.h"

#include "broker/base/byte_writer.h"
#include "tests/wire/hex.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

std::string framed(const std::string& content) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(content.size()));
  out.text(content);
  return std::move(out).take();
}

// All frames of a stream that arrives in pieces of at most `piece` bytes.
Result<std::vector<std::string>> read_all(FrameReader& reader, std::string_view stream, std::size_t piece) {
  std::vector<std::string> frames;
  while (!stream.empty()) {
    MutableByteView space = reader.space();
    const std::size_t size = std::min({piece, space.size(), stream.size()});
    std::memcpy(space.data(), stream.data(), size);
    stream.remove_prefix(size);
    reader.filled(size);
    while (auto frame = TRY(reader.next())) frames.emplace_back(frame->text());
  }
  return frames;
}

TEST(FrameReader, CutsTheSameFramesHoweverTheBytesArrive) {
  std::vector<std::string> contents;
  std::string stream;
  for (std::size_t size : {1UL, 3UL, 4091UL, 4092UL, 4093UL, 4096UL, 2UL, 100'000UL, 5UL}) {
    contents.emplace_back(size, static_cast<char>('a' + contents.size()));
    stream += framed(contents.back());
  }
  for (std::size_t piece : {1UL, 2UL, 7UL, 4095UL, 4096UL, 5000UL, 1'000'000UL}) {
    FrameReader reader(1_MiB);
    auto frames = read_all(reader, stream, piece);
    ASSERT_TRUE(frames);
    EXPECT_EQ(*frames, contents) << "pieces of " << piece;
    EXPECT_EQ(reader.begun_size(), 0);
  }
}

TEST(FrameReader, TellsTheSizeOfTheFrameThatHasBegun) {
  FrameReader reader(1_MiB);
  ASSERT_TRUE(read_all(reader, framed(std::string(50'000, 'x')).substr(0, 10), 100));
  EXPECT_EQ(reader.begun_size(), 50'000);
}

TEST(FrameReader, RefusesImpossibleLengthsForGood) {
  for (const char* length : {"ffffffff", "80000000", "00000000", "00000401", "7fffffff"}) {
    FrameReader reader(1_KiB);
    auto frames = read_all(reader, bytes_of(length), 4);
    ASSERT_FALSE(frames) << length;
    EXPECT_EQ(frames.error().code, ErrorCode::kMalformed);
    EXPECT_FALSE(reader.next()) << "the stream stays broken";
  }
}

TEST(FrameReader, TakesAFrameOfExactlyTheLimit) {
  FrameReader reader(1_KiB);
  auto frames = read_all(reader, framed(std::string(1024, 'x')), 4096);
  ASSERT_TRUE(frames);
  EXPECT_EQ(frames->size(), 1U);
}

}  // namespace
}  // namespace forelog::wire
