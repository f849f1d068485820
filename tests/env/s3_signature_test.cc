// Amazon's published examples: "Signature Calculations for the Authorization Header: Transferring Payload in a Single
// Chunk" of the S3 API reference.
#include "broker/env/s3/answers.h"
#include "broker/env/s3/signature.h"

#include <gtest/gtest.h>

namespace forelog::env::s3 {
namespace {

const Credentials kKeys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};

struct Signature : testing::Test {
  std::string_view method = "GET";
  std::string path = "/";
  Query query;
  Headers headers;
  std::string payload{kEmptyPayload};
  Credentials keys = kKeys;

  std::string authorization() {
    auto now = *parse_iso_time("2013-05-24T00:00:00.000Z");
    sign({method, "examplebucket.s3.amazonaws.com", path, query, payload}, headers, keys, "us-east-1", now);
    return headers["authorization"];
  }
};

TEST_F(Signature, GetObjectWithARange) {
  path = "/test.txt";
  headers["range"] = "bytes=0-9";
  EXPECT_EQ(authorization(),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(headers["x-amz-date"], "20130524T000000Z");
  EXPECT_FALSE(headers.contains("x-amz-security-token"));
}

TEST_F(Signature, PutObjectWithANameThatNeedsEncoding) {
  method = "PUT";
  path = "/" + encode_path("test$file.text");
  EXPECT_EQ(path, "/test%24file.text");
  headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  payload = sha256_hex({Buffer::view_of_static("Welcome "), Buffer::view_of_static("to Amazon S3.")});
  EXPECT_EQ(payload, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_TRUE(authorization().ends_with("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST_F(Signature, ParameterWithoutAValue) {
  query = {{"lifecycle", ""}};
  EXPECT_TRUE(authorization().ends_with("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST_F(Signature, ParametersInTheOrderOfTheirNames) {
  query = {{"prefix", "J"}, {"max-keys", "2"}};
  EXPECT_TRUE(authorization().ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST_F(Signature, SessionTokenIsSentAndSigned) {
  keys.session_token = "token";
  auto with = authorization();
  EXPECT_EQ(headers["x-amz-security-token"], "token");
  EXPECT_NE(with.find("x-amz-security-token"), std::string::npos);
  for (const auto& [name, value] : headers) EXPECT_EQ(value.find(kKeys.secret_key), std::string::npos) << name;
}

TEST(Checksums, AreThoseOfTheStandards) {
  Slices body{Buffer::view_of_static("12345"), Buffer::view_of_static("6789")};
  EXPECT_EQ(crc32c_base64(body), "4waSgw==");  // e3069283, the check value of CRC-32C
  EXPECT_EQ(md5_base64(body), "JfnnlDI7RTiF9RgfG2JNCw==");
  EXPECT_EQ(crc32c_base64({}), "AAAAAA==");
  EXPECT_EQ(sha256_hex({}), kEmptyPayload);
}

TEST(Uri, EncodesAllButTheUnreserved) {
  EXPECT_EQ(encode_component("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(encode_component("a b/c+d=\xc3\xa9"), "a%20b%2Fc%2Bd%3D%C3%A9");
  EXPECT_EQ(encode_path("a b/c+d"), "a%20b/c%2Bd");
  EXPECT_EQ(encode_query({{"uploads", ""}, {"prefix", "a/b"}}), "prefix=a%2Fb&uploads=");
}

}  // namespace
}  // namespace forelog::env::s3
