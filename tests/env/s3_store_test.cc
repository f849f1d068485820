// What an archive in S3 does beyond the contract of all object stores. Run by integration/test_s3.py, which starts the
// server; without one there is nothing to see.
#include "broker/env/real/s3_object_store.h"
#include "tests/support/worlds.h"

#include <algorithm>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using testing::HasSubstr;

constexpr Duration kAnyAge = -1min;  // a server's date may lag behind the times it notes

// Bytes that differ everywhere, so that no piece can stand in another's place; fails from `fails_at` on.
class Pattern : public ObjectContent {
 public:
  explicit Pattern(Bytes size, Bytes fails_at = INT64_MAX) : size_(size), fails_at_(fails_at) {}
  Bytes size() const override { return size_; }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    if (from + size > fails_at_) co_return fail(ErrorCode::kCorruptBlock, "planted");
    std::string out(static_cast<std::size_t>(size), '\0');
    for (Bytes i = 0; i < size; ++i) out[static_cast<std::size_t>(i)] = at(from + i);
    co_return Buffer::take(std::move(out));
  }
  static char at(Bytes place) { return static_cast<char>((place >> 16) * 31 + (place >> 8) * 7 + place); }

 private:
  Bytes size_;
  Bytes fails_at_;
};

// Ends the process's requests while it is read: its upload stays half done.
class Interrupting final : public Pattern {
 public:
  explicit Interrupting(ObjectStore& store) : Pattern(60_MiB), store_(store) {}
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    if (from >= 30_MiB) store_.interrupt();
    return Pattern::read(from, size);
  }

 private:
  ObjectStore& store_;
};

// --- tasks -----------------------------------------------------------------------------------------------------------

Task<int> put_many(Env& env, int count) {
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    Pattern content(3);
    auto put = co_await env.archive->put("many/" + std::to_string(10000 + i), content, test::soon(env));
    failed += put ? 0 : 1;
  }
  co_return failed;
}

struct Compare {
  Bytes at = 0;
  bool same = true;
  void take(const Buffer& bytes) {
    for (char c : bytes.text()) same = c == Pattern::at(at++) && same;
  }
};

Task<void> read_one(Env& env, Bytes from, int& right) {
  Compare compare{from};
  auto take = [&compare](const ObjectStore::Piece& piece) { compare.take(piece.bytes); };
  auto got = co_await env.archive->get_range("shared", from, 64_KiB, take, TrafficClass::cold, test::soon(env));
  if (got && compare.same && compare.at == from + 64_KiB) ++right;
}

Task<int> read_many(Env& env, int count) {
  int right = 0;
  TaskGroup tasks(env.cores);
  for (int i = 0; i < count; ++i) tasks.spawn(read_one(env, i * 13_KiB, right));
  co_await tasks.join();
  co_return right;
}

struct InS3Test : testing::Test {
  s3::S3Settings settings;
  std::optional<test::InS3> world;
  ObjectStore& store() { return *world->env().archive; }

  void SetUp() override {
    if (!test::InS3::is_available())
      GTEST_SKIP() << "FORELOG_TEST_S3 names no server; integration/test_s3.py runs this";
    settings.part_size = 5_MiB;
    world.emplace(settings);
  }
  Deadline soon() { return test::soon(world->env()); }
  std::int64_t metric(const std::string& name, const std::string& labels = "") {
    MetricsSnapshot all;
    store().collect_metrics(all);
    return all[{name, labels}].value;
  }
};

TEST_F(InS3Test, LargeObjectsGoInPartsAndComeBackWhole) {
  Pattern content(17_MiB + 12345);
  auto put = world->run(store().put("large", content, soon()));
  ASSERT_TRUE(put) << put.error().text();
  EXPECT_EQ(metric("forelog_s3_requests_total", "kind=\"part\",outcome=\"ok\""), 4);
  EXPECT_EQ(world->run(store().head("large", soon()))->size, content.size());
  Compare compare;
  auto take = [&](const ObjectStore::Piece& piece) { compare.take(piece.bytes); };
  auto got = world->run(store().get_range("large", 0, content.size(), take, TrafficClass::cold, soon()));
  ASSERT_TRUE(got) << got.error().text();
  EXPECT_EQ(compare.at, content.size());
  EXPECT_TRUE(compare.same);
}

TEST_F(InS3Test, AFailedUploadIsAborted) {
  Pattern content(30_MiB, 12_MiB);
  auto put = world->run(store().put("half", content, soon()));
  ASSERT_FALSE(put);
  EXPECT_THAT(put.error().text(), HasSubstr("planted"));
  EXPECT_EQ(world->run(store().head("half", soon())).error().code, ErrorCode::kNotFound);
  auto& s3 = dynamic_cast<S3ObjectStore&>(store());
  auto left = world->run(s3.abort_stale_uploads("half", kAnyAge, soon()));
  ASSERT_TRUE(left) << left.error().text();
  EXPECT_EQ(*left, 0);
}

TEST_F(InS3Test, UploadsThatACrashLeftAreFoundByAge) {
  Interrupting content(store());
  auto put = world->run(store().put("left/over", content, soon()));
  ASSERT_FALSE(put);
  world->restart();
  auto& again = dynamic_cast<S3ObjectStore&>(store());
  EXPECT_EQ(*world->run(again.abort_stale_uploads("left/", 1h, soon())), 0);
  // minio lists an unfinished upload only to who names its key in full, and clears them away by itself after a day.
  const char* kind = std::getenv("FORELOG_TEST_S3_KIND");
  bool listed = kind == nullptr || std::string(kind) != "minio";
  EXPECT_EQ(*world->run(again.abort_stale_uploads("left/", kAnyAge, soon())), listed ? 1 : 0);
  EXPECT_EQ(*world->run(again.abort_stale_uploads("left/", kAnyAge, soon())), 0);
}

// It may be somebody else's, who is just uploading.
TEST_F(InS3Test, UploadsAreLeftAloneUntilTheArchiveIsKnownToBeOurs) {
  const char* kind = std::getenv("FORELOG_TEST_S3_KIND");
  if (kind != nullptr && std::string(kind) == "minio") return;  // it does not list them
  Interrupting content(store());
  ASSERT_FALSE(world->run(store().put("left/over", content, soon())));
  world->restart("left/");
  auto until = world->env().clock.now() + 1s;
  world->run(sleep_until(world->env().clock, until));
  auto aborted = [&] { return metric("forelog_s3_requests_total", "kind=\"upload\",outcome=\"ok\""); };
  EXPECT_EQ(aborted(), 0);
  store().claim();
  for (auto end = soon(); aborted() == 0 && world->env().clock.now() < end;) {
    until = world->env().clock.now() + 50ms;
    world->run(sleep_until(world->env().clock, until));
  }
  auto& s3 = dynamic_cast<S3ObjectStore&>(store());
  EXPECT_EQ(*world->run(s3.abort_stale_uploads("left/", kAnyAge, soon())), 0);
}

TEST_F(InS3Test, ListingsGoOverManyPages) {
  EXPECT_EQ(world->run(put_many(world->env(), 2005)), 0);
  auto all = world->run(store().list("many/", "", 5000, soon()));
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(all->size(), 2005u);
  EXPECT_TRUE(std::ranges::is_sorted(*all, {}, &ObjectInfo::key));
  // Pages that end exactly with the last object.
  EXPECT_EQ(world->run(store().list("many/", "many/11004", 1000, soon()))->size(), 1000u);
  EXPECT_EQ(world->run(store().list("many/", "many/11004", 5000, soon()))->size(), 1000u);
  EXPECT_EQ(world->run(store().list("many/", "many/12004", 10, soon()))->size(), 0u);
}

TEST_F(InS3Test, ManyReadsAtOnceShareConnections) {
  Pattern content(4_MiB);
  ASSERT_TRUE(world->run(store().put("shared", content, soon())));
  EXPECT_EQ(world->run(read_many(world->env(), 300)), 300);
  auto opened = metric("forelog_s3_connections_opened_total");
  EXPECT_EQ(world->run(read_many(world->env(), 300)), 300);
  EXPECT_LT(metric("forelog_s3_connections_opened_total") - opened, 150);
  EXPECT_EQ(metric("forelog_s3_requests_in_flight"), 0);
}

TEST_F(InS3Test, AStopEndsWhatIsUnderWay) {
  Pattern content(1_MiB);
  ASSERT_TRUE(world->run(store().put("k", content, soon())));
  store().interrupt();
  auto nothing = [](const ObjectStore::Piece&) {};
  auto got = world->run(store().get_range("k", 0, 10, nothing, TrafficClass::cold, soon()));
  EXPECT_EQ(got.error().code, ErrorCode::kStopping);
  EXPECT_EQ(world->run(store().put("k2", content, soon())).error().code, ErrorCode::kStopping);
}

}  // namespace
}  // namespace forelog::env
