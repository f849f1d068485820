#include "broker/env/real/direct_writer.h"

#include "tests/support/temporary_directory.h"

#include <csignal>
#include <random>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace forelog::env {
namespace {

constexpr std::size_t kBlock = DirectWriter::kBlockSize;

struct DirectWriterTest : testing::Test {
  test::TemporaryDirectory directory;
  std::string path = directory / "f";

  void SetUp() override { ASSERT_TRUE(PosixFile::open(path, O_RDWR | O_CREAT)); }
  std::string content() { return std::string(PosixFile::open(path, O_RDONLY)->read_at(0, 64_MiB)->text()); }
  static Slices text(std::string text) { return {Buffer::take(std::move(text))}; }
};

TEST_F(DirectWriterTest, WritesOfAnySizeFollowOneAnother) {
  auto writer = *DirectWriter::open(path);
  std::mt19937 random(7);
  std::string whole;
  // Within a block, up to its end, over it, over a piece, and of several pieces.
  for (std::size_t size :
       {1UL, 99UL, kBlock - 100, 1UL, 2 * kBlock, kBlock - 1, 3UL, 1UL << 20, (3UL << 20) + 17, 5UL}) {
    Slices slices;
    for (std::size_t done = 0; done < size;) {
      std::string part(std::min(size - done, std::size_t{1} + random() % 100'000),
                       static_cast<char>('a' + random() % 26));
      done += part.size();
      whole += part;
      slices.push_back(Buffer::take(std::move(part)));
      slices.push_back({});
    }
    ASSERT_TRUE(writer->write(static_cast<std::int64_t>(whole.size() - size), slices, random() % 2 == 0));
    auto there = content();
    ASSERT_EQ(there.size() % kBlock, 0U);
    ASSERT_TRUE(there.substr(0, whole.size()) == whole) << whole.size();
    ASSERT_EQ(there.find_first_not_of('\0', whole.size()), std::string::npos);
  }
}

TEST_F(DirectWriterTest, OfAnEarlierLifeOnlyTheLastBlockGoes) {
  ASSERT_TRUE((*DirectWriter::open(path))->write(0, text(std::string(3 * kBlock, 'o')), true));
  ASSERT_TRUE((*DirectWriter::open(path))->write(0, text(std::string(kBlock + 5, 'n')), true));
  EXPECT_TRUE(content() == std::string(kBlock + 5, 'n') + std::string(kBlock - 5, '\0') + std::string(kBlock, 'o'));
}

TEST_F(DirectWriterTest, GoesOnInABlockThatAnotherBegan) {
  ASSERT_TRUE((*DirectWriter::open(path))->write(0, text("kept, "), true));
  auto writer = *DirectWriter::open(path);
  ASSERT_TRUE(writer->write(6, text("and more"), true));
  ASSERT_TRUE(writer->write(6, text("and again"), true));  // also where it has written before
  EXPECT_EQ(content().substr(0, 16), std::string("kept, and again\0", 16));
}

TEST_F(DirectWriterTest, AWriteThatFailedIsRepeatedBehindWhatWasThere) {
  auto writer = *DirectWriter::open(path);
  ASSERT_TRUE(writer->write(0, text("kept"), true));
  auto before_signal = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small{kBlock * 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  auto failed = writer->write(4, text(std::string(3 << 20, 'x')), true);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, before_signal);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kDiskFull);
  EXPECT_NE(failed.error().context.find(path), std::string::npos);
  EXPECT_EQ(content().substr(0, 4), "kept");
  ASSERT_TRUE(writer->write(4, text("again"), true));
  EXPECT_EQ(content().substr(0, 10), std::string("keptagain\0", 10));
}

TEST_F(DirectWriterTest, WhatTakesNoDirectWritesGetsOthers) {
  auto writer = DirectWriter::open("/dev/null");
  ASSERT_TRUE(writer);
  EXPECT_FALSE((*writer)->is_direct());
  EXPECT_TRUE((*writer)->write(0, text("anything"), false));
  auto full = (*DirectWriter::open("/dev/full"))->write(0, text("x"), false);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kDiskFull);
  EXPECT_EQ(DirectWriter::open(directory / "missing").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace forelog::env
