// Bytes computed by hand from Kafka's protocol page: what we write and read must be these, not just be consistent.
#include "broker/wire/api_versions.h"
#include "broker/wire/fetch.h"
#include "broker/wire/metadata.h"
#include "broker/wire/produce.h"
#include "tests/wire/hex.h"

#include <gtest/gtest.h>

namespace forelog::wire {
namespace {

Buffer body(std::string_view notation) { return Buffer::take(bytes_of(notation)); }

TEST(Golden, UnsupportedApiVersionsAnswersInTheFormOfVersion0) {
  // size, correlation id | error 35, one key: 18, 0..4
  EXPECT_EQ(hex(encode_unsupported_api_versions(7)), hex(bytes_of("00000010 00000007 0023 00000001 0012 0000 0004")));
}

TEST(Golden, ApiVersionsHasAClassicResponseHeaderAlsoWhereItIsFlexible) {
  ApiVersionsResponse response;
  response.api_keys.push_back({18, 0, 4});
  EXPECT_EQ(hex(encode_response(response, 3, 1)),
            hex(bytes_of("00000013 00000001"          // no tag section after the correlation id
                         "0000 02 0012 0000 0004 00"  // error, compact array of one, its tags
                         "00000000 00")));            // throttle, no tags: all tagged fields are at their defaults
}

TEST(Golden, ClassicMetadataRequest) {
  EXPECT_EQ(hex(encode_request(MetadataRequest{}, 1, 5, "me")),
            hex(bytes_of("00000010 0003 0001 00000005 0002'me' ffffffff")));
  auto named = decode<MetadataRequest>(body("00000001 0003'abc' 00"), 4);
  ASSERT_TRUE(named);
  ASSERT_EQ(named->topics->size(), 1U);
  EXPECT_EQ(named->topics->front().name, TopicName("abc"));
  EXPECT_FALSE(named->allow_auto_topic_creation);
}

TEST(Golden, FlexibleMetadataRequestByTopicId) {
  MetadataRequest request;
  request.topics.emplace().emplace_back().topic_id.bytes.fill(0xab);
  EXPECT_EQ(
      hex(encode_request(request, 12, 5, "me")),
      hex(bytes_of("0000 0023"
                   "0003 000c 00000005 0002'me' 00"                             // classic client id, then tags
                   "02 abababab abababab abababab abababab 00 00 01 00 00")));  // id, null name, tags; flags; tags
}

TEST(Golden, ProduceRequestKeepsRecordsInTheFrame) {
  Buffer frame = body("0000 0000 0009 00000001 0001'c' 00 00 ffff 00001388 02 02't' 02 00000003 05'data' 00 00 00");
  auto parsed = parse_request(frame.slice(2));
  ASSERT_TRUE(parsed);
  ASSERT_NE(parsed->api, nullptr);
  EXPECT_EQ(parsed->header.client_id, "c");
  auto request = decode<ProduceRequest>(parsed->body, parsed->header.version);
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_EQ(request->acks, -1);
  EXPECT_EQ(request->timeout_ms, 5000);
  const auto& partition = request->topic_data.at(0).partition_data.at(0);
  EXPECT_EQ(partition.index, PartitionId(3));
  EXPECT_EQ(partition.records.flat().text(), "data");
  EXPECT_GE(partition.records.slices.at(0).data(), frame.data());
  EXPECT_LT(partition.records.slices.at(0).data(), frame.data() + frame.size());
}

TEST(Golden, FetchResponseSplicesRecordsWithoutCopyingThem) {
  FetchResponse response;
  auto& partition = response.responses.emplace_back().partitions.emplace_back();
  response.responses[0].topic = TopicName("t");
  partition.partition_index = PartitionId(1);
  partition.high_watermark = Offset(9);
  partition.records = Slices{Buffer::copy_of("aa"), Buffer::copy_of("bbb")};
  Slices slices = encode_response(response, 4, 2);
  EXPECT_EQ(hex(slices), hex(bytes_of("00000036 00000002 00000000 00000001 0001't' 00000001"
                                      "00000001 0000 0000000000000009 ffffffffffffffff ffffffff 00000005 'aabbb'")));
  ASSERT_EQ(slices.size(), 3U);
  EXPECT_EQ(slices[1].data(), partition.records.slices[0].data());
  EXPECT_EQ(slices[2].data(), partition.records.slices[1].data());
}

TEST(Golden, TaggedFieldsCarryNumberSizeAndContent) {
  ProduceResponse response;
  auto& partition = response.responses.emplace_back().partition_responses.emplace_back();
  partition.error_code = ErrorCode::kNotLeader;
  partition.base_offset = kNoOffset;
  partition.current_leader = {BrokerId(2), Epoch(4)};
  EXPECT_EQ(hex(encode_response(response, 10, 1)),
            hex(bytes_of("0000003a 00000001 00 02 01 02"
                         "00000000 0006 ffffffffffffffff ffffffffffffffff ffffffffffffffff 01 00"
                         "01 00 09 00000002 00000004 00"  // one tag: number 0, 9 bytes, its own empty tag section
                         "00 00000000 00")));
}

}  // namespace
}  // namespace forelog::wire
