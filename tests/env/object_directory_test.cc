#include "broker/env/real/object_directory.h"

#include "tests/support/temporary_directory.h"

#include <barrier>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

struct ObjectDirectoryTest : testing::Test {
  void SetUp() override { std::filesystem::create_directories(archive / "uploading"); }
  void publish(const std::string& key) {
    std::ofstream(archive / "uploading/object") << "x";
    auto done = publish_object(archive.path(), archive / "uploading/object", key);
    EXPECT_TRUE(done) << done.error().text();
  }
  void remove(const std::string& key) {
    auto done = remove_object(archive.path(), key);
    EXPECT_TRUE(done) << done.error().text();
  }
  test::TemporaryDirectory archive;
};

TEST_F(ObjectDirectoryTest, AnObjectIsPublishedWhileTheLastOneBeforeItTakesTheDirectoryAlong) {
  constexpr int kTimes = 60;
  std::barrier both(2);
  std::thread remover([&] {
    for (int i = 0; i < kTimes; ++i) both.arrive_and_wait(), remove("topic/0/old"), both.arrive_and_wait();
  });
  for (int i = 0; i < kTimes; ++i) {
    publish("topic/0/old");
    both.arrive_and_wait();
    publish("topic/0/new");
    both.arrive_and_wait();
    remove("topic/0/new");
  }
  remover.join();
}

}  // namespace
}  // namespace forelog::env
