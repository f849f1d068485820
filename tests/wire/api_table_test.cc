#include "broker/wire/api_table.h"

#include "broker/base/result.h"
#include "broker/wire/fetch.h"
#include "broker/wire/messages.h"
#include "tests/wire/hex.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

constexpr ErrorCode kEveryError[] = {
#define ERROR(name, wire, retriable, text) ErrorCode::k##name,
#include "broker/base/errors.def"
#undef ERROR
};

TEST(ApiTable, EveryApiHasItsMessages) {
  std::set<ApiKey> with_messages;
  AllRequests::for_each([&]<class Request>() {
    EXPECT_EQ(Request::api, Request::Response::api);
    with_messages.insert(Request::api);
  });
  EXPECT_EQ(with_messages.size(), AllRequests::size);
  for (const ApiRow& row : api_table()) EXPECT_TRUE(with_messages.contains(row.key)) << row.name;
  EXPECT_EQ(with_messages.size(), api_table().size());
}

// An advertised version that is not served closes the connection of whoever believes it. Produce is the one lie.
TEST(ApiTable, AdvertisesOnlyWhatIsServed) {
  for (const ApiVersionsResponse::ApiVersion& api : api_versions().api_keys) {
    for (Version version = api.min_version; version <= api.max_version; ++version) {
      const bool lie = api.api_key == 0 && version < 3;
      EXPECT_EQ(is_served(api.api_key, version), !lie) << api.api_key << " v" << version;
    }
  }
}

// librdkafka 2.0.2 compares exact versions before it turns features on (reference: its feature map).
TEST(ApiTable, AdvertisesWhatOldLibrdkafkaLooksFor) {
  const std::pair<int, Version> needed[] = {{0, 0},  {0, 3},  {0, 7},  {1, 4},  {1, 10}, {10, 0}, {8, 2}, {9, 1},
                                            {11, 0}, {14, 0}, {12, 0}, {13, 0}, {2, 1},  {22, 0}, {18, 0}};
  for (const auto& [key, version] : needed) {
    const ApiRow* row = find_api(static_cast<std::int16_t>(key));
    ASSERT_NE(row, nullptr);
    EXPECT_TRUE(row->advertised.contains(version)) << row->name << " v" << version;
  }
}

TEST(ApiTable, UnknownKeysAndVersionsAreNotServed) {
  EXPECT_FALSE(is_served(-1, 0));
  EXPECT_FALSE(is_served(4, 0));
  EXPECT_FALSE(is_served(999, 0));
  EXPECT_FALSE(is_served(0, 2));
  EXPECT_FALSE(is_served(3, -1));
}

TEST(ApiTable, EachApiSaysOnlyCodesThatKafkaListsForIt) {
  for (const ApiRow& row : api_table()) {
    for (const ErrorException& exception : row.exceptions) {
      EXPECT_TRUE(exception.to == 0 || std::ranges::binary_search(row.errors, exception.to))
          << row.name << " turns " << exception.from << " into " << exception.to;
    }
    for (const ErrorCode error : kEveryError) {
      for (Version version = row.served.min; version <= row.served.max; ++version) {
        const std::int16_t said = code_to_send(row, version, wire_code_of(error));
        EXPECT_TRUE(said == -1 || said == 0 || std::ranges::binary_search(row.errors, said));
        if (said == 0) EXPECT_EQ(error, ErrorCode::kGroupIdNotFound) << row.name << " hides " << name_of(error);
      }
    }
  }
}

// What we cannot help (a slow disk, a broker that stops) must make clients come back, not give up.
TEST(ApiTable, OurOwnTroublesStayRetriable) {
  const std::int16_t retriable[] = {3, 5, 6, 7, 14, 15, 16, 27, 41, 56};
  for (const ApiRow& row : api_table()) {
    if (row.exceptions.empty()) continue;
    for (const ErrorCode trouble :
         {ErrorCode::kTimeout, ErrorCode::kOverloaded, ErrorCode::kStopping, ErrorCode::kIo, ErrorCode::kUnavailable}) {
      const std::int16_t said = code_to_send(row, row.served.max, wire_code_of(trouble));
      EXPECT_TRUE(std::ranges::find(retriable, said) != std::ranges::end(retriable))
          << row.name << " says " << said << " for " << name_of(trouble);
    }
  }
}

// Code 7 in a Fetch response ends the Java consumer.
TEST(ApiTable, FetchNeverSaysTimedOut) {
  for (Version version = 4; version <= 17; ++version) {
    FetchResponse response;
    response.responses.emplace_back().partitions.emplace_back().error_code = ErrorCode::kTimeout;
    auto parsed =
        parse_response(flatten(encode_response(response, version, 1)).slice(4), row_of(ApiKey::kFetch), version);
    auto seen = decode<FetchResponse>(parsed->body, version);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->responses[0].partitions[0].error_code.code, version < 6 ? 6 : 56) << "v" << version;
  }
}

}  // namespace
}  // namespace forelog::wire
