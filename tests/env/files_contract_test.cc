// What every implementation of Files and LocalStore promises.
#include "tests/support/worlds.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

Slices slices(std::initializer_list<const char*> parts) {
  Slices out;
  for (const auto* part : parts) out.push_back(Buffer::copy_of(std::string_view(part)));
  return out;
}

template <class World>
struct FilesContract : testing::Test {
  World world;
  Files& files = world.env().files;
  std::string dir = world.directory();

  void SetUp() override { ASSERT_TRUE(world.run(files.create_directories(dir))); }
  FilePtr open(const std::string& name, OpenMode mode) { return *world.run(files.open(dir + "/" + name, mode)); }
  std::string read(File& file, std::int64_t offset, Bytes size) {
    return std::string(world.run(file.read_at(offset, size))->text());
  }
};
TYPED_TEST_SUITE(FilesContract, test::BothWorlds);

TYPED_TEST(FilesContract, WritesManySlicesAndReadsThemAnywhere) {
  auto file = this->open("f", OpenMode::create);
  Slices many;
  std::string whole;
  for (int i = 0; i < 3000; ++i) {
    auto text = std::to_string(i);
    whole += text;
    many.push_back(Buffer::take(std::move(text)));
    many.push_back({});
  }
  ASSERT_TRUE(this->world.run(file->write_at(0, many)));
  EXPECT_EQ(*this->world.run(file->size()), static_cast<Bytes>(whole.size()));
  EXPECT_EQ(this->read(*file, 0, 100_MiB), whole);
  EXPECT_EQ(this->read(*file, 1000, 50), whole.substr(1000, 50));
  EXPECT_EQ(this->read(*file, 1_MiB, 5), "");
}

TYPED_TEST(FilesContract, WhatIsResidentIsSentAsItIsRead) {
  auto file = this->open("f", OpenMode::create);
  ASSERT_TRUE(this->world.run(file->write_and_sync(0, slices({"abc", "def"}))));
  std::optional<Buffer> bytes;
  for (int i = 0; i < 100 && !bytes; ++i) bytes = file->resident(1, 4);
  ASSERT_TRUE(bytes) << "just written, so it is in memory";
  ASSERT_NE(bytes->file(), nullptr);
  EXPECT_EQ(bytes->size(), 4U);
  EXPECT_EQ(bytes->loaded().text(), "bcde");
  EXPECT_EQ(bytes->slice(2).slice(1, 1).loaded().text(), "e");
  EXPECT_FALSE(file->resident(3, 100'000)) << "the file ends before";
}

TYPED_TEST(FilesContract, AHoleReadsAsZeros) {
  auto file = this->open("f", OpenMode::create);
  ASSERT_TRUE(this->world.run(file->write_at(3, slices({"x"}))));
  EXPECT_EQ(this->read(*file, 0, 9), std::string("\0\0\0x", 4));
}

TYPED_TEST(FilesContract, TruncatesAndOverwrites) {
  auto file = this->open("f", OpenMode::create);
  ASSERT_TRUE(this->world.run(file->write_at(0, slices({"abc", "def"}))));
  ASSERT_TRUE(this->world.run(file->truncate(4)));
  ASSERT_TRUE(this->world.run(file->write_at(1, slices({"X"}))));
  EXPECT_EQ(this->read(*file, 0, 9), "aXcd");
}

TYPED_TEST(FilesContract, DirectWritesFollowOneAnotherAndEndInZeros) {
  ASSERT_TRUE(this->world.run(this->open("f", OpenMode::create)->write_at(0, slices({"an older life of the file"}))));
  auto file = this->open("f", OpenMode::create_direct);
  ASSERT_TRUE(this->world.run(file->write_and_sync(0, slices({"abc", "def"}))));
  ASSERT_TRUE(this->world.run(file->write_and_sync(6, slices({"g"}))));
  EXPECT_EQ(this->read(*file, 0, 9), std::string("abcdefg\0\0", 9));
  auto all = this->read(*file, 0, 1_MiB);
  EXPECT_EQ(all.find_first_not_of('\0', 7), std::string::npos) << all;
}

TYPED_TEST(FilesContract, SaysHowMuchTheDiskStillTakes) {
  auto free = this->world.run(this->files.free_space(this->dir));
  ASSERT_TRUE(free);
  EXPECT_GT(*free, 1_MiB);
}

TYPED_TEST(FilesContract, MissingFilesAndDirectoriesAreNotFound) {
  auto missing = this->dir + "/missing";
  EXPECT_EQ(this->world.run(this->files.open(missing, OpenMode::read)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->world.run(this->files.open(missing, OpenMode::write)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->world.run(this->files.open(missing + "/f", OpenMode::create)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->world.run(this->files.list(missing)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->world.run(this->files.remove(missing)).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->world.run(this->files.rename(missing, missing + "2")).error().code, ErrorCode::kNotFound);
}

TYPED_TEST(FilesContract, ListsNamesInOrderAndRenamesOverWhatIsThere) {
  for (const auto* name : {"b", "a", "c"}) this->open(name, OpenMode::create);
  ASSERT_TRUE(this->world.run(this->files.create_directories(this->dir + "/d/e")));
  ASSERT_TRUE(this->world.run(this->files.rename(this->dir + "/c", this->dir + "/b")));
  EXPECT_EQ(*this->world.run(this->files.list(this->dir)), (std::vector<std::string>{"a", "b", "d"}));
  EXPECT_FALSE(this->world.run(this->files.remove(this->dir + "/d")));
  ASSERT_TRUE(this->world.run(this->files.remove(this->dir + "/d/e")));
  ASSERT_TRUE(this->world.run(this->files.remove(this->dir + "/d")));
}

TYPED_TEST(FilesContract, ARemovedFileStaysReadableThroughItsHandle) {
  auto file = this->open("f", OpenMode::create);
  ASSERT_TRUE(this->world.run(file->write_at(0, slices({"kept"}))));
  ASSERT_TRUE(this->world.run(this->files.remove(this->dir + "/f")));
  EXPECT_EQ(this->read(*file, 0, 9), "kept");
}

TYPED_TEST(FilesContract, WhatWasSyncedIsThereAfterARestart) {
  auto file = this->open("f", OpenMode::create);
  ASSERT_TRUE(this->world.run(file->write_at(0, slices({"kept"}))));
  ASSERT_TRUE(this->world.run(file->sync()));
  ASSERT_TRUE(this->world.run(this->files.sync_directory(this->dir)));
  file.reset();
  this->world.restart();
  auto again = *this->world.run(this->world.env().files.open(this->dir + "/f", OpenMode::read));
  EXPECT_EQ(this->read(*again, 0, 9), "kept");
  EXPECT_FALSE(this->world.run(again->write_at(0, slices({"x"}))));
}

template <class World>
struct LocalStoreContract : testing::Test {
  World world;
  LocalStore& store() { return world.env().local; }
  Result<void> commit(StoreBatch batch) { return world.run(store().commit(std::move(batch), Durability::synced)); }
};
TYPED_TEST_SUITE(LocalStoreContract, test::BothWorlds);

TYPED_TEST(LocalStoreContract, ABatchAppliesInOrderAndSurvivesARestart) {
  StoreBatch batch;
  batch.put("a", "1");
  batch.put("b", "2");
  batch.erase("a");
  batch.put("b", "3");
  batch.put(std::string("n\0l", 3), "");
  ASSERT_TRUE(this->commit(std::move(batch)));
  this->world.restart();
  EXPECT_EQ(*this->world.run(this->store().get("a")), std::nullopt);
  EXPECT_EQ(*this->world.run(this->store().get("b")), "3");
  EXPECT_EQ(*this->world.run(this->store().get(std::string("n\0l", 3))), "");
}

TYPED_TEST(LocalStoreContract, ScansARangeInOrderUpToItsLimit) {
  StoreBatch batch;
  for (const auto* key : {"d", "b", "a", "c"}) batch.put(key, key);
  ASSERT_TRUE(this->commit(std::move(batch)));
  using Entries = LocalStore::Entries;
  EXPECT_EQ(*this->world.run(this->store().scan("b", "d", 9)), (Entries{{"b", "b"}, {"c", "c"}}));
  EXPECT_EQ(*this->world.run(this->store().scan("b", "", 1)), (Entries{{"b", "b"}}));
  EXPECT_EQ(this->world.run(this->store().scan("c", "", 9))->size(), 2u);
}

}  // namespace
}  // namespace forelog::env
