// Every message at every version: what is encoded is decoded to the same, and no damage does worse than an error.
#include "broker/env/simulated/seeded_random.h"
#include "broker/wire/equal.h"
#include "tests/wire/every_message.h"
#include "tests/wire/random_message.h"

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

TEST(RoundTrip, RandomMessagesComeBackEqualAtEveryVersion) {
  env::SeededRandom random(1);
  int messages = 0;
  for_every_form([&]<class T>(const Form& form) {
    for (int i = 0; i < 30; ++i) {
      const T sent = RandomMessage(random, form.version).make<T>();
      const Buffer bytes = encode_body(sent, form);
      auto received = decode_body<T>(bytes, form);
      ASSERT_TRUE(received) << form.name << ": " << received.error().text();
      ASSERT_TRUE(equal(sent, *received)) << form.name << "\n"
                                          << Printer(form.version).message(sent) << "\n"
                                          << Printer(form.version).message(*received);
      ASSERT_EQ(encode_body(*received, form), bytes) << form.name;
      ++messages;
    }
  });
  EXPECT_GT(messages, 30 * 2 * 100) << "34 APIs in some 115 versions, both directions";
}

TEST(RoundTrip, AFieldThatAVersionLacksKeepsItsDefault) {
  MetadataRequest request;
  request.allow_auto_topic_creation = false;
  const Form form{"", 3, false};
  EXPECT_TRUE(decode_body<MetadataRequest>(encode_body(request, form), form)->allow_auto_topic_creation);
}

TEST(RoundTrip, NullIsSentAsEmptyWhereItIsNotLegal) {
  MetadataResponse response;
  response.topics.emplace_back().name = std::nullopt;
  const Form form{"", 9, true};
  EXPECT_EQ(decode_body<MetadataResponse>(encode_body(response, form), form)->topics[0].name, TopicName(""));
}

TEST(RoundTrip, ATextTooLongForAClassicLengthIsCut) {
  HeartbeatRequest request;
  request.member_id = MemberId(std::string(40'000, 'm'));
  const Form classic{"", 3, false};
  const Form compact{"", 4, true};
  EXPECT_EQ(decode_body<HeartbeatRequest>(encode_body(request, classic), classic)->member_id.value().size(), 32767U);
  EXPECT_EQ(decode_body<HeartbeatRequest>(encode_body(request, compact), compact)->member_id.value().size(), 40'000U);
}

TEST(Damage, ATruncatedMessageIsRefusedAtEveryByte) {
  env::SeededRandom random(2);
  for_every_form([&]<class T>(const Form& form) {
    const Buffer bytes = encode_body(RandomMessage(random, form.version).make<T>(), form);
    // Long messages are cut at every byte of their start, then here and there.
    for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 37) {
      // A copy, so that AddressSanitizer sees a read past the end.
      auto decoded = decode_body<T>(Buffer::copy_of(bytes.view().first(size)), form);
      ASSERT_FALSE(decoded) << form.name << " cut to " << size << " of " << bytes.size();
      ASSERT_EQ(decoded.error().code, ErrorCode::kMalformed);
    }
  });
}

TEST(Damage, BytesAfterAMessageAreRefused) {
  for_every_form([&]<class T>(const Form& form) {
    const std::string bytes = std::string(encode_body(T{}, form).text()) + '\0';
    EXPECT_FALSE(decode_body<T>(Buffer::copy_of(bytes), form)) << form.name;
  });
}

TEST(Damage, FlippedBytesAreDecodedOrRefused) {
  env::SeededRandom random(3);
  for_every_form([&]<class T>(const Form& form) {
    const Buffer bytes = encode_body(RandomMessage(random, form.version).make<T>(), form);
    for (int i = 0; i < 100 && !bytes.empty(); ++i) {
      std::string damaged(bytes.text());
      for (auto n = 1 + random.next() % 3; n > 0; --n) {
        damaged[random.next() % damaged.size()] = static_cast<char>(random.next());
      }
      if (auto decoded = decode_body<T>(Buffer::copy_of(damaged), form)) {
        ASSERT_TRUE(decode_body<T>(encode_body(*decoded, form), form)) << form.name;
      }
    }
  });
}

}  // namespace
}  // namespace forelog::wire
