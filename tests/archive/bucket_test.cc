// What is found in the archive without asking the metadata store.
#include "broker/archive/bucket.h"

#include "broker/archive/archive_source.h"
#include "broker/archive/identity.h"
#include "tests/support/worlds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::archive {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Span span(std::int64_t base, std::int64_t end, std::int32_t generation = 0) {
  return {Offset(base), Offset(end), Generation(generation)};
}

TEST(ChooseChain, FollowsShardsInOrder) {
  auto chain = choose_chain({span(5, 10), span(10, 20), span(20, 21)});
  EXPECT_THAT(chain.chosen, ElementsAre(0, 1, 2));
  EXPECT_TRUE(chain.superseded.empty() && chain.gaps.empty());
  EXPECT_TRUE(choose_chain({}).chosen.empty());
}

TEST(ChooseChain, TakesTheNewestGenerationAndWhatFollowsIt) {
  // 0–10 and 10–20 were merged into generation 1; a crash left the old ones.
  auto chain = choose_chain({span(0, 10, 0), span(0, 20, 1), span(10, 20, 0), span(20, 30, 0), span(20, 30, 2)});
  EXPECT_THAT(chain.chosen, ElementsAre(1, 4));
  EXPECT_THAT(chain.superseded, ElementsAre(0, 2, 3));
  EXPECT_TRUE(chain.gaps.empty());
}

TEST(ChooseChain, NamesEachGap) {
  auto chain = choose_chain({span(0, 10), span(15, 20), span(20, 30), span(31, 32)});
  EXPECT_THAT(chain.chosen, ElementsAre(0, 1, 2, 3));
  ASSERT_EQ(chain.gaps.size(), 2u);
  EXPECT_EQ(chain.gaps[0].from, Offset(10));
  EXPECT_EQ(chain.gaps[0].to, Offset(15));
  EXPECT_EQ(chain.gaps[1].to, Offset(31));
}

TopicDescription example(std::string name = "orders") {
  return {std::move(name), *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ"), 3, {{"retention.ms", "1000"}, {"x", "\"y\"\n"}}};
}

TEST(TopicDescription, ComesBackAsItWas) {
  auto topic = example();
  auto encoded = encode_description(topic);
  auto decoded = decode_description(topic.id, encoded);
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(*decoded, topic);
}

TEST(TopicDescription, EveryDamagedByteIsNoticed) {
  auto topic = example();
  auto encoded = encode_description(topic);
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    std::string text(encoded.text());
    text[i] = static_cast<char>(text[i] ^ 0x20);
    EXPECT_FALSE(decode_description(topic.id, as_bytes(text))) << i;
    EXPECT_FALSE(decode_description(topic.id, encoded.slice(0, i))) << i;
  }
  EXPECT_THAT(decode_description(*TopicId::parse("AAAAAAAAAAAAAAAAAAAAAg"), encoded).error().context,
              HasSubstr("it is of"));
}

TEST(TopicDescription, NamesSortByNumberAndTellContentsApart) {
  auto first = description_key("p", 9, example());
  EXPECT_LT(first, description_key("p", 10, example()));
  EXPECT_NE(first, description_key("p", 9, example("other")));
  auto parsed = parse_description_key("p", first);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->topic, example().id);
  EXPECT_EQ(parsed->number, 9u);
  for (const auto* key : {"p/AAAAAAAAAAAAAAAAAAAAAQ/0/00000000000000000000.0", "p/AAAAAAAAAAAAAAAAAAAAAQ/topic/1-2",
                          "p", "q/x/y", "p/AAAAAAAAAAAAAAAAAAAAAQ/topic/0000000000000000000x-01234567"})
    EXPECT_FALSE(parse_description_key("p", key)) << key;
}

TEST(Bucket, SortsWhatItFinds) {
  test::InSimulation world;
  auto topic = example();
  auto& objects = world.world().objects();
  auto put = [&](const std::string& key, std::string text) { objects[key] = Buffer::take(std::move(text)); };
  auto folder = topic_prefix("p", topic.id);
  objects[description_key("p", 2, topic)] = encode_description(topic);
  put(description_key("p", 3, example("newer")), "rotten");
  put(folder + "0/00000000000000000010.10", "xx");
  put(folder + "0/00000000000000000010.9", "x");
  put(folder + "0/00000000000000000000.0", "x");
  put(folder + "1/manifest/00000000000000000010-01234567", "x");
  put("p/somebody/else", "x");
  put("q/not ours", "x");
  put(identity_key("p"), "x");
  auto none = [](const Bucket&) {};
  auto& env = world.env();
  auto bucket = world.run(list_bucket(*env.archive, env.clock, "p", std::nullopt, none));
  ASSERT_TRUE(bucket) << bucket.error().text();
  EXPECT_EQ(bucket->objects, 8u);
  EXPECT_THAT(bucket->strangers, ElementsAre("p/somebody/else"));
  ASSERT_EQ(bucket->topics.size(), 1u);
  auto& found = bucket->topics.begin()->second;
  ASSERT_EQ(found.partitions[PartitionId(0)].shards.size(), 3u);
  EXPECT_EQ(found.partitions[PartitionId(0)].shards[1].id.generation, Generation(9));  // before 10
  EXPECT_EQ(found.partitions[PartitionId(1)].manifests.size(), 1u);
  // The newest description is rotten, so the one before it counts.
  auto description = world.run(read_description(*env.archive, topic.id, found, test::soon(env)));
  ASSERT_TRUE(description) << description.error().text();
  EXPECT_EQ(description->name, "orders");
}

// Gone since it was listed, or listed by a bucket that has lost it.
TEST(Bucket, TheNewestDescriptionThatIsThereCounts) {
  test::InSimulation world;
  auto topic = example();
  FoundTopic found;
  found.descriptions = {description_key("p", 2, topic), description_key("p", 3, example("newer"))};
  world.world().objects()[found.descriptions[0]] = encode_description(topic);
  auto& env = world.env();
  auto read = [&] { return world.run(read_description(*env.archive, topic.id, found, test::soon(env))); };
  auto description = read();
  ASSERT_TRUE(description) << description.error().text();
  EXPECT_EQ(description->name, "orders");
  // What does not answer may be newer, and must not be passed over.
  world.machine().faults().archive_outage = true;
  EXPECT_EQ(read().error().code, ErrorCode::kArchiveUnavailable);
}

TEST(HedgeAllowance, IsATwentiethOfTheRequests) {
  HedgeAllowance allowance;
  int taken = 0;
  while (allowance.take()) ++taken;
  EXPECT_EQ(taken, 20);
  for (int i = 0; i < 1000; ++i) {
    allowance.note_request();
    taken += allowance.take() ? 1 : 0;
  }
  EXPECT_EQ(taken, 20 + 50);
  for (int i = 0; i < 10'000; ++i) allowance.note_request();
  for (taken = 0; allowance.take();) ++taken;
  EXPECT_EQ(taken, 20);
}

}  // namespace
}  // namespace forelog::archive
