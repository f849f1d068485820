// Every message at every version: what is encoded is decoded to the same, and no damage does worse than an error.
#include "broker/env/simulated/seeded_random.h"
#include "broker/wire/heartbeat.h"
#include "broker/wire/metadata.h"
#include "tests/wire/every_message.h"

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

// What the other side makes of `message`, sent in `version`.
template <ApiMessage T>
T sent(const T& message, Version version) {
  const bool flexible = row_of(T::api).is_flexible(version);
  Encoder encoder(version, flexible);
  encoder.message(message);
  return decode<T>(flatten(std::move(encoder).finish()), version).value();
}

TEST(RoundTrip, RandomMessagesComeBackEqualAtEveryVersion) {
  env::SeededRandom random(1);
  EXPECT_GT(every_form().size(), 200U) << "34 APIs in some 120 versions, both directions";
  for (const Form& form : every_form()) {
    for (int i = 0; i < 30; ++i) {
      const Encoded sent = form.make_random(form, random);
      const auto received = form.recode(form, sent.bytes);
      ASSERT_TRUE(received) << form.name << ": " << received.error().text();
      ASSERT_EQ(received->text, sent.text) << form.name;
      ASSERT_EQ(received->bytes, sent.bytes) << form.name;
    }
  }
}

TEST(RoundTrip, AFieldThatAVersionLacksKeepsItsDefault) {
  MetadataRequest request;
  request.allow_auto_topic_creation = false;
  EXPECT_FALSE(sent(request, 4).allow_auto_topic_creation);
  EXPECT_TRUE(sent(request, 3).allow_auto_topic_creation);
}

TEST(RoundTrip, NullIsSentAsEmptyWhereItIsNotLegal) {
  MetadataResponse response;
  response.topics.emplace_back().name = std::nullopt;
  EXPECT_EQ(sent(response, 9).topics[0].name, TopicName(""));
  EXPECT_EQ(sent(response, 12).topics[0].name, std::nullopt);
}

TEST(RoundTrip, ATextTooLongForAClassicLengthIsCut) {
  HeartbeatRequest request;
  request.member_id = MemberId(std::string(40'000, 'm'));
  EXPECT_EQ(sent(request, 3).member_id.value().size(), 32767U);
  EXPECT_EQ(sent(request, 4).member_id.value().size(), 40'000U);
}

TEST(Damage, ATruncatedMessageIsRefusedAtEveryByte) {
  env::SeededRandom random(2);
  for (const Form& form : every_form()) {
    const Buffer bytes = form.make_random(form, random).bytes;
    // Long messages are cut at every byte of their start, then here and there.
    for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 37) {
      // A copy, so that AddressSanitizer sees a read past the end.
      const auto recoded = form.recode(form, Buffer::copy_of(bytes.view().first(size)));
      ASSERT_FALSE(recoded) << form.name << " cut to " << size << " of " << bytes.size();
      ASSERT_EQ(recoded.error().code, ErrorCode::kMalformed);
    }
  }
}

TEST(Damage, BytesAfterAMessageAreRefused) {
  for (const Form& form : every_form()) {
    const std::string bytes = std::string(form.make_default(form).bytes.text()) + '\0';
    EXPECT_FALSE(form.recode(form, Buffer::copy_of(bytes))) << form.name;
  }
}

}  // namespace
}  // namespace forelog::wire
