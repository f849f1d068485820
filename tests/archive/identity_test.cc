// Which archive this is, and who may use it.
#include "broker/archive/identity.h"

#include "broker/archive/guarded_store.h"
#include "broker/archive/shard_object.h"
#include "tests/support/worlds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::archive {
namespace {

using testing::HasSubstr;

const ArchiveId kId = *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ");

// As the first release wrote it; every later one reads it.
TEST(Identity, ItsBytes) {
  EXPECT_EQ(encode_identity(kId), R"({"version":1,"id":"AAAAAAAAAAAAAAAAAAAAAQ","checksum":"1ddac617"})");
  auto decoded = decode_identity(encode_identity(kId));
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(*decoded, kId);
  EXPECT_EQ(identity_key("forelog"), "forelog/archive.id");
}

TEST(Identity, MayBeWrittenByHand) {
  EXPECT_EQ(*decode_identity("{ \"version\": 1, \"id\": \"AAAAAAAAAAAAAAAAAAAAAQ\" }\n"), kId);
}

TEST(Identity, NoDamagedByteMakesAnotherIdOfIt) {
  for (std::size_t at = 0; at < encode_identity(kId).size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto text = encode_identity(kId);
      text[at] = static_cast<char>(text[at] ^ (1 << bit));
      auto decoded = decode_identity(text);
      EXPECT_TRUE(!decoded || *decoded == kId) << text;
    }
  }
  for (const auto* text : {"", "{}", "null", "{\"version\":1,\"id\":\"x\"}", "<html></html>"})
    EXPECT_EQ(decode_identity(text).error().code, ErrorCode::kCorruptFile) << text;
  EXPECT_THAT(decode_identity("{\"version\":2,\"id\":\"AAAAAAAAAAAAAAAAAAAAAQ\"}").error().context,
              HasSubstr("start the release that wrote it"));
}

class GuardedStoreTest : public testing::Test {
 protected:
  class Text final : public env::ObjectContent {
   public:
    Bytes size() const override { return 1; }
    Task<Result<Buffer>> read(Bytes, Bytes) override { co_return Buffer::copy_of("x"); }
  };

  Deadline soon() { return world.env().clock.now() + 1s; }
  Result<void> put() { return world.run(store.put("p/a", text, soon())); }
  Result<void> remove() { return world.run(store.remove("p/there", soon())); }
  Result<void> read() {
    auto bytes = world.run(read_range(store, "p/there", 0, 1, soon()));
    if (!bytes) return fail(bytes.error());
    return {};
  }

  test::InSimulation world;
  env::SimulatedObjects& objects = world.world().objects();
  GuardedStore store{world.env().cores, *world.env().archive};
  Text text;
};

TEST_F(GuardedStoreTest, ChangesNothingBeforeTheWordAndReadsAllTheSame) {
  objects["p/there"] = Buffer::copy_of("x");
  EXPECT_EQ(put().error().code, ErrorCode::kTimeout);
  EXPECT_EQ(remove().error().code, ErrorCode::kTimeout);
  EXPECT_EQ(world.run(store.list("p/", "", 10, soon())).error().code, ErrorCode::kTimeout);
  EXPECT_EQ(objects.size(), 1U);
  EXPECT_TRUE(read());
  // The word comes while somebody waits.
  world.machine().cores().post(CoreId(1), [this] { store.open(); });
  EXPECT_TRUE(put());
  EXPECT_TRUE(remove());
  EXPECT_EQ(objects.size(), 1U);
  EXPECT_TRUE(objects.contains("p/a"));
}

TEST_F(GuardedStoreTest, OfAnotherArchiveNothingIsReadEither) {
  objects["p/there"] = Buffer::copy_of("x");
  store.note_away("it does not answer");
  EXPECT_THAT(put().error().text(), HasSubstr("it does not answer"));
  EXPECT_TRUE(read());
  store.refuse("it is another one");
  store.note_away("it does not answer");  // which says nothing against what is known
  for (const auto& refused : {put(), remove(), read()}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kArchiveUnavailable);  // not NotFound: nothing is lost
    EXPECT_THAT(refused.error().text(), HasSubstr("it is another one"));
  }
  EXPECT_EQ(objects.size(), 1U);
  store.open();
  EXPECT_TRUE(put());
}

TEST_F(GuardedStoreTest, AStopEndsTheWait) {
  store.stop();
  EXPECT_EQ(put().error().code, ErrorCode::kStopping);
}

TEST_F(GuardedStoreTest, AnIdIsReadBackAndNoneIsNoError) {
  store.open();
  auto deadline = soon();
  auto none = world.run(read_identity(store, "p", deadline));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_value());
  ASSERT_TRUE(world.run(put_identity(store, "p", kId, deadline)));
  auto found = world.run(read_identity(store, "p", deadline));
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(*found, kId);
}

}  // namespace
}  // namespace forelog::archive
