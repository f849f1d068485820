#include "broker/base/block_memory.h"

#include "broker/base/bytes.h"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace forelog {
namespace {

constexpr auto kBlocks = BlockMemory::kBlocks;

std::vector<std::byte*> take(BlockMemory& memory, std::size_t count) {
  std::vector<std::byte*> blocks(count);
  for (auto& block : blocks) block = memory.take();
  return blocks;
}

void give_back(BlockMemory& memory, const std::vector<std::byte*>& blocks) {
  for (auto* block : blocks) memory.give_back(block);
}

TEST(BlockMemory, EveryBlockIsItsOwn) {
  BlockMemory memory;
  auto blocks = take(memory, 3 * kBlocks);
  EXPECT_EQ(memory.slabs(), 3U);
  EXPECT_EQ(memory.blocks(), 3 * kBlocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) std::fill_n(blocks[i], kBlockSize, std::byte(i));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(std::count(blocks[i], blocks[i] + kBlockSize, std::byte(i)), kBlockSize) << "block " << i;
  }
  give_back(memory, blocks);
  EXPECT_EQ(memory.blocks(), 0U);
}

TEST(BlockMemory, WhatIsFreeIsTakenBeforeTheSystemIsAsked) {
  BlockMemory memory;
  auto blocks = take(memory, 2 * kBlocks);
  std::ranges::sort(blocks);
  memory.give_back(blocks[kBlocks + 2]);
  memory.give_back(blocks[3]);
  EXPECT_EQ(memory.take(), blocks[3]) << "the lowest first, so that the upper slabs empty";
  EXPECT_EQ(memory.take(), blocks[kBlocks + 2]);
  EXPECT_EQ(memory.slabs(), 2U);
  give_back(memory, blocks);
}

TEST(BlockMemory, SlabsThatAreWhollyFreeGoBackButForAFew) {
  BlockMemory memory(2);
  auto blocks = take(memory, 6 * kBlocks);
  std::ranges::sort(blocks);
  // One block of each slab stays: nothing can go back.
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (i % kBlocks != 0) memory.give_back(blocks[i]);
  }
  EXPECT_EQ(memory.slabs(), 6U);
  for (std::size_t i = 0; i < blocks.size(); i += kBlocks) memory.give_back(blocks[i]);
  EXPECT_EQ(memory.slabs(), 2U);
  give_back(memory, take(memory, 2 * kBlocks));
  EXPECT_EQ(memory.slabs(), 2U) << "the spare ones are used";
}

TEST(BlockMemory, ThreadsShareIt) {
  BlockMemory memory(1);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&memory, thread] {
      for (int round = 0; round < 200; ++round) {
        auto blocks = take(memory, 1 + static_cast<std::size_t>(round % 12));
        for (auto* block : blocks) *block = std::byte(thread);
        for (auto* block : blocks) EXPECT_EQ(*block, std::byte(thread));
        give_back(memory, blocks);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(memory.blocks(), 0U);
  EXPECT_EQ(memory.slabs(), 1U);
}

TEST(BlockMemory, BuffersOfABlockLieThere) {
  auto before = BlockMemory::shared().blocks();
  Buffer last;
  {
    MutableBuffer block(static_cast<std::size_t>(kBlockSize));
    MutableBuffer smaller(static_cast<std::size_t>(kBlockSize) - 1);
    EXPECT_EQ(BlockMemory::shared().blocks(), before + 1);
    std::ranges::fill(block.view(), std::byte('x'));
    last = std::move(block).freeze(1000).slice(990);
  }
  EXPECT_EQ(BlockMemory::shared().blocks(), before + 1) << "a slice keeps it";
  EXPECT_EQ(last.text(), "xxxxxxxxxx");
  last = {};
  EXPECT_EQ(BlockMemory::shared().blocks(), before);
}

#if __has_feature(address_sanitizer)
TEST(BlockMemoryDeathTest, AReadOfABlockGivenBackIsSeen) {
  EXPECT_DEATH(
      {
        BlockMemory memory;
        auto* block = memory.take();
        memory.give_back(block);
        volatile auto read = *block;
        (void)read;
      },
      "use-after-poison");
}
#endif

TEST(BlockMemoryDeathTest, WhatWasNotTakenCannotBeGivenBack) {
  BlockMemory memory;
  auto* block = memory.take();
  EXPECT_DEATH(memory.give_back(block + 1), "not a taken block");
  memory.give_back(block);
  EXPECT_DEATH(memory.give_back(block), "not a taken block");
}

}  // namespace
}  // namespace forelog
