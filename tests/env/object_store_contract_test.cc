// What every implementation of ObjectStore promises.
#include "broker/base/limits.h"
#include "tests/support/worlds.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

class Text final : public ObjectContent {
 public:
  explicit Text(std::string text) : text_(Buffer::take(std::move(text))) {}
  Bytes size() const override { return static_cast<Bytes>(text_.size()); }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    co_return text_.slice(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  }

 private:
  Buffer text_;
};

template <class World>
struct ObjectStoreContract : testing::Test {
  World world;
  ObjectStore& store() { return *world.env().archive; }
  std::vector<Bytes> pieces;  // of the last `get`

  void SetUp() override {
    if constexpr (requires { World::is_available(); }) {
      if (!World::is_available()) GTEST_SKIP() << "FORELOG_TEST_S3 names no server; integration/test_s3.py runs this";
    }
  }

  Result<void> put(std::string key, std::string text) {
    Text content(std::move(text));
    return world.run(store().put(std::move(key), content, test::soon(world.env())));
  }
  Result<std::string> get(std::string key, Bytes from, Bytes size) {
    std::string text;
    pieces.clear();
    auto take = [&](const ObjectStore::Piece& piece) {
      text += piece.bytes.text();
      pieces.push_back(static_cast<Bytes>(piece.bytes.size()));
      EXPECT_EQ(piece.crc32c, crc32c(piece.bytes));
    };
    auto done =
        world.run(store().get_range(std::move(key), from, size, take, TrafficClass::cold, test::soon(world.env())));
    if (!done) return fail(done.error());
    return text;
  }
  std::string list(std::string prefix, std::string after = "", std::size_t limit = 100) {
    auto found = world.run(store().list(std::move(prefix), std::move(after), limit, test::soon(world.env())));
    std::string names;
    for (const auto& object : *found) names += object.key + " ";
    return names;
  }
  Result<ObjectInfo> head(std::string key) { return world.run(store().head(std::move(key), test::soon(world.env()))); }
  Result<void> remove(std::string key) { return world.run(store().remove(std::move(key), test::soon(world.env()))); }
};
using Worlds = testing::Types<test::InSimulation, test::InReality, test::InS3>;
TYPED_TEST_SUITE(ObjectStoreContract, Worlds);

TYPED_TEST(ObjectStoreContract, HandsOutAnyRangeInOrder) {
  std::string text;
  while (text.size() < 3'000'000) text += std::to_string(text.size()) + ",";
  ASSERT_TRUE(this->put("t/0/shard", text));
  EXPECT_EQ(*this->get("t/0/shard", 0, static_cast<Bytes>(text.size())), text);
  EXPECT_EQ(*this->get("t/0/shard", 1'234'567, 700'001), text.substr(1'234'567, 700'001));
  EXPECT_EQ(*this->get("t/0/shard", 5, 0), "");
  EXPECT_EQ(this->head("t/0/shard")->size, static_cast<Bytes>(text.size()));
}

TYPED_TEST(ObjectStoreContract, PiecesAreBlocksCountedFromWhereTheRangeBegins) {
  if constexpr (std::is_same_v<TypeParam, test::InSimulation>) GTEST_SKIP() << "cuts where it likes";
  ASSERT_TRUE(this->put("k", std::string(2'000'000, 'x')));
  ASSERT_TRUE(this->get("k", 1000, 3 * kBlockSize + 7));
  EXPECT_EQ(this->pieces, (std::vector<Bytes>{kBlockSize, kBlockSize, kBlockSize, 7}));
}

TYPED_TEST(ObjectStoreContract, PuttingAgainReplaces) {
  ASSERT_TRUE(this->put("k", "long old text"));
  ASSERT_TRUE(this->put("k", "new"));
  EXPECT_EQ(this->head("k")->size, 3);
  EXPECT_EQ(*this->get("k", 0, 3), "new");
  ASSERT_TRUE(this->put("empty", ""));
  EXPECT_EQ(this->head("empty")->size, 0);
}

TYPED_TEST(ObjectStoreContract, SaysWhatIsMissingOrShort) {
  ASSERT_TRUE(this->put("k", "12345"));
  EXPECT_EQ(this->get("k", 3, 3).error().code, ErrorCode::kCorruptBlock);
  EXPECT_EQ(this->get("k", 9, 1).error().code, ErrorCode::kCorruptBlock);
  EXPECT_EQ(this->get("missing", 0, 1).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->head("missing").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(this->remove("missing"));
  EXPECT_TRUE(this->remove("missing/below"));
}

TYPED_TEST(ObjectStoreContract, ListsKeysInTheOrderOfTheirBytes) {
  EXPECT_EQ(this->list(""), "");
  for (const auto* key : {"a/b", "a.b", "a/c/d", "ab", "a/b-c", "b"}) ASSERT_TRUE(this->put(key, key));
  EXPECT_EQ(this->list(""), "a.b a/b a/b-c a/c/d ab b ");
  EXPECT_EQ(this->list("a/"), "a/b a/b-c a/c/d ");
  EXPECT_EQ(this->list("a/b"), "a/b a/b-c ");
  EXPECT_EQ(this->list("", "a/b", 2), "a/b-c a/c/d ");
  EXPECT_EQ(this->list("a/", "a/c/d"), "");
  EXPECT_EQ(this->list("a/", "0"), "a/b a/b-c a/c/d ");
  ASSERT_TRUE(this->remove("a/c/d"));
  EXPECT_EQ(this->list("a/c"), "");
}

TYPED_TEST(ObjectStoreContract, RefusesKeysThatLeaveTheArchive) {
  for (const auto* key : {"", "/a", "../a", "a/../../b", "a//b", "a/", ".uploading/x", "a/."}) {
    EXPECT_EQ(this->put(key, "x").error().code, ErrorCode::kMalformed) << key;
    EXPECT_EQ(this->get(key, 0, 1).error().code, ErrorCode::kMalformed) << key;
    EXPECT_EQ(this->remove(key).error().code, ErrorCode::kMalformed) << key;
  }
}

TYPED_TEST(ObjectStoreContract, ObjectsOutliveARestart) {
  ASSERT_TRUE(this->put("a/b", "kept"));
  this->world.restart();
  EXPECT_EQ(*this->get("a/b", 0, 4), "kept");
}

struct SimulatedArchiveFaults : testing::Test {
  test::InSimulation world;
  Faults& faults = world.machine().faults();
  ObjectStore& store = *world.env().archive;
  std::string got;

  void SetUp() override { world.world().objects()["k"] = Buffer::take(std::string(1'000'000, 'x')); }
  Result<void> get() {
    got.clear();
    auto take = [this](const ObjectStore::Piece& piece) {
      got += piece.bytes.text();
      EXPECT_EQ(piece.crc32c, crc32c(piece.bytes));  // of what came, right or wrong
    };
    return world.run(store.get_range("k", 0, 1'000'000, take, TrafficClass::cold, world.env().clock.now() + 5s));
  }
};

TEST_F(SimulatedArchiveFaults, OutageSilenceBreaksAndWrongBytes) {
  faults.archive_outage = true;
  EXPECT_EQ(get().error().code, ErrorCode::kArchiveUnavailable);
  faults = {};
  faults.archive_silent = true;
  EXPECT_EQ(get().error().code, ErrorCode::kTimeout);
  faults = {};
  faults.archive_break_rate = 1;
  EXPECT_EQ(get().error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_LT(got.size(), 1'000'000u);
  faults = {};
  faults.archive_wrong_bytes_rate = 1;
  EXPECT_TRUE(get());
  EXPECT_EQ(std::ranges::count(got, 'x'), 999'999);
  faults = {};
  EXPECT_TRUE(get());
  EXPECT_EQ(got, std::string(1'000'000, 'x'));
}

}  // namespace
}  // namespace forelog::env
