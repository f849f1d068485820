// The pure parts of an archive in S3: where it is, whose keys sign, what answers mean, when to try again.
#include "broker/env/s3/answers.h"
#include "broker/env/s3/credentials.h"
#include "broker/env/s3/failures.h"
#include "broker/env/s3/location.h"
#include "broker/env/s3/request_slots.h"
#include "broker/env/s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::env::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

// --- location --------------------------------------------------------------------------------------------------------

std::string url(const LocationSettings& settings, std::string_view key) {
  auto location = locate(settings);
  return location ? location->url_of(location->path_of(key), "") : location.error().text();
}

TEST(S3Location, BucketInTheHostOrInThePath) {
  EXPECT_EQ(url({.url = "s3://logs/a/b/", .endpoint = {}, .region = "eu-west-1"}, "t/0 1"),
            "https://logs.s3.eu-west-1.amazonaws.com/a/b/t/0%201");
  EXPECT_EQ(url({.url = "s3://logs", .endpoint = "http://127.0.0.1:9000", .region = {}}, "t/0"),
            "http://127.0.0.1:9000/logs/t/0");
  EXPECT_EQ(
      url({.url = "s3://logs", .endpoint = "https://S3.example.com:443/", .region = {}, .path_style = PathStyle::no},
          "t"),
      "https://logs.s3.example.com/t");
  EXPECT_EQ(url({.url = "s3://logs.of.us", .endpoint = {}, .region = {}}, "t"),
            "https://s3.us-east-1.amazonaws.com/logs.of.us/t");
  EXPECT_EQ(url({.url = "s3://logs", .endpoint = "http://[::1]:9000", .region = {}}, ""), "http://[::1]:9000/logs");
}

TEST(S3Location, SaysWhatIsWrong) {
  EXPECT_THAT(url({.url = "s3://", .endpoint = {}, .region = {}}, "k"), HasSubstr("not the name of a bucket"));
  EXPECT_THAT(url({.url = "s3://Logs", .endpoint = {}, .region = {}}, "k"), HasSubstr("not the name of a bucket"));
  EXPECT_THAT(url({.url = "s3://logs/a//b", .endpoint = {}, .region = {}}, "k"), HasSubstr("empty part"));
  EXPECT_THAT(url({.url = "s3://logs/../b", .endpoint = {}, .region = {}}, "k"), HasSubstr("'..'"));
  for (const auto* endpoint : {"host:9000", "ftp://host", "http://", "http://host:0", "http://host:99999",
                               "http://h/x?y", "http://user@host", "http://host:"}) {
    EXPECT_THAT(url({.url = "s3://logs", .endpoint = endpoint, .region = {}}, "k"), HasSubstr("archive.s3.endpoint"))
        << endpoint;
  }
  EXPECT_THAT(url({.url = "s3://logs", .endpoint = {}, .region = "eu west"}, "k"), HasSubstr("archive.s3.region"));
}

TEST(S3Location, ErrorsNeverRepeatAPassword) {
  for (const auto* endpoint : {"http://user:SECRET@host", "http://user:SECRET@host:9000/", "user:SECRET@host",
                               "https://SECRET@host", "ftp://u:SEC/SECRET@host", "http://u:SECRET@x@host"}) {
    auto said = url({.url = "s3://logs", .endpoint = endpoint, .region = {}}, "k");
    EXPECT_THAT(said, HasSubstr("archive.s3.endpoint")) << endpoint;
    EXPECT_THAT(said, Not(HasSubstr("SECRET"))) << endpoint;
  }
  for (const auto* wrong : {"s3://KEY:SECRET@logs/prefix", "s3://KEY:SECRET/x@logs", "http://KEY:SECRET@host/logs"})
    EXPECT_THAT(url({.url = wrong, .endpoint = {}, .region = {}}, "k"), Not(HasSubstr("SECRET"))) << wrong;
}

// --- credentials -----------------------------------------------------------------------------------------------------

Environment environment_of(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    auto at = variables.find(name);
    if (at == variables.end() || at->second.empty()) return std::nullopt;
    return at->second;
  };
}

TEST(S3Credentials, SettingsComeBeforeTheEnvironment) {
  auto environment =
      environment_of({{"AWS_ACCESS_KEY_ID", "E"}, {"AWS_SECRET_ACCESS_KEY", "ES"}, {"AWS_SESSION_TOKEN", "T"}});
  S3Settings settings;
  EXPECT_EQ(**given_credentials(settings, environment), (Credentials{"E", "ES", "T"}));
  settings.access_key = "S";
  EXPECT_THAT(given_credentials(settings, environment).error().context, HasSubstr("only one"));
  settings.secret_key = "SS";
  EXPECT_EQ(**given_credentials(settings, environment), (Credentials{"S", "SS", ""}));
  EXPECT_FALSE(given_credentials({}, environment_of({}))->has_value());
}

TEST(S3Credentials, FileHasSections) {
  constexpr std::string_view kFile =
      "# keys\n[default]\naws_access_key_id = A\r\naws_secret_access_key=B=C \n\n[other]\n; none\n"
      "aws_access_key_id=D\naws_secret_access_key=E\naws_session_token=F\nregion=x\n[half]\naws_access_key_id=D\n";
  EXPECT_EQ(*parse_credentials_file(kFile, {"f", "default"}), (Credentials{"A", "B=C", ""}));
  EXPECT_EQ(*parse_credentials_file(kFile, {"f", "other"}), (Credentials{"D", "E", "F"}));
  EXPECT_THAT(parse_credentials_file(kFile, {"f", "half"}).error().context, HasSubstr("section [half]"));
  EXPECT_THAT(parse_credentials_file(kFile, {"f", "none"}).error().context, HasSubstr("archive.s3.profile"));
}

TEST(S3Credentials, ErrorsNeverRepeatAKey) {
  S3Settings settings;
  settings.access_key = "ACCESS";
  settings.secret_key = "SECRET\nx-evil: 1";
  auto refused = given_credentials(settings, environment_of({}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text().find("SECRET\n"), std::string::npos);
  EXPECT_EQ(refused.error().text().find("evil"), std::string::npos);
}

TEST(S3Credentials, FilesThatOthersCanReadAreRefused) {
  EXPECT_TRUE(check_private("f", 0100600));
  EXPECT_TRUE(check_private("f", 0100400));
  for (unsigned mode : {0100640u, 0100604u, 0100644u})
    EXPECT_THAT(check_private("f", mode).error().context, HasSubstr("chmod 600 f"));
}

TEST(S3Credentials, PlacesAndDefaultsOfTheEnvironment) {
  auto place = credentials_place({}, environment_of({{"HOME", "/home/u"}}));
  EXPECT_EQ(place.path, "/home/u/.aws/credentials");
  EXPECT_EQ(place.profile, "default");
  place = credentials_place({}, environment_of({{"AWS_SHARED_CREDENTIALS_FILE", "/c"}, {"AWS_PROFILE", "p"}}));
  EXPECT_EQ(place.path, "/c");
  EXPECT_EQ(place.profile, "p");
  auto found =
      location_settings("s3://b", {}, environment_of({{"AWS_REGION", "r-1"}, {"AWS_ENDPOINT_URL", "http://h"}}));
  EXPECT_EQ(found.region, "r-1");
  EXPECT_EQ(found.endpoint, "http://h");
}

// --- answers ---------------------------------------------------------------------------------------------------------

TEST(S3Answers, ListingAndItsEmptyLastPage) {
  auto page = parse_list(
      "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
      "<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>"
      "<Contents><Key>x/&lt;y&gt;</Key><Size>12</Size></Contents><Contents><Key>z</Key><Size>0</Size></Contents>"
      "</ListBucketResult>");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->objects.size(), 2u);
  EXPECT_EQ(page->objects[0].key, "x/<y>");
  EXPECT_EQ(page->objects[0].size, 12);
  EXPECT_EQ(page->next, "a&b");
  page = parse_list("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->objects.empty() && page->next.empty());
}

TEST(S3Answers, HostileXmlIsRefused) {
  for (std::string text : {"", "<", "<a>", "no", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "<a></b>"})
    EXPECT_FALSE(parse_xml(text)) << text;
  std::string deep, wide = "<ListBucketResult>";
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  for (int i = 0; i < 60'000; ++i) wide += "<a/>";
  EXPECT_FALSE(parse_xml(deep));
  EXPECT_FALSE(parse_xml(wide + "</ListBucketResult>"));
  EXPECT_FALSE(parse_list("<html/>"));
  EXPECT_FALSE(parse_list("<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>"));
  EXPECT_FALSE(parse_list("<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>"));
}

TEST(S3Answers, Uploads) {
  auto page = parse_uploads(
      "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
      "<NextUploadIdMarker>i</NextUploadIdMarker><Upload><Key>k</Key><UploadId>i</UploadId>"
      "<Initiated>2026-11-23T10:00:01.000Z</Initiated></Upload></ListMultipartUploadsResult>");
  ASSERT_TRUE(page);
  ASSERT_EQ(page->uploads.size(), 1u);
  EXPECT_EQ(page->uploads[0].initiated, *parse_http_date("Mon, 23 Nov 2026 10:00:01 GMT"));
  EXPECT_EQ(page->next_id, "i");
  EXPECT_EQ(xml_escape("\"a\"<&>"), "&quot;a&quot;&lt;&amp;&gt;");
}

TEST(S3Answers, Times) {
  EXPECT_EQ(to_ms(*parse_iso_time("1970-01-02T00:00:01.500Z")), 86'401'000);
  EXPECT_EQ(to_ms(*parse_http_date("Fri, 02 Jan 1970 00:00:01 GMT")), 86'401'000);
  for (const auto* text : {"", "Fri, 99 Jan 1970 00:00:01 GMT", "Fri, 02 Foo 1970 00:00:01 GMT"})
    EXPECT_FALSE(parse_http_date(text)) << text;
  EXPECT_FALSE(parse_iso_time("1970-13-02T00:00:01.500Z"));
}

// --- what answers mean -----------------------------------------------------------------------------------------------

struct S3Failures : testing::Test {
  Location location = *locate({.url = "s3://logs", .endpoint = "http://host:9000", .region = {}});
  WallTime now = *parse_iso_time("2026-11-23T12:05:00Z");

  Verdict judge_status(int status, std::string code = "", std::string more = "") {
    Answer answer;
    answer.status = status;
    answer.headers["date"] = "Mon, 23 Nov 2026 10:00:00 GMT";
    if (!code.empty()) answer.body = "<Error><Code>" + code + "</Code><Message>said</Message>" + more + "</Error>";
    return judge(answer, location, "GET k", now);
  }
  Verdict judge_transport(Transport transport) {
    Answer answer;
    answer.transport = transport;
    answer.detail = "detail";
    return judge(answer, location, "GET k", now);
  }
};

TEST_F(S3Failures, WhatMayPassIsAskedAgain) {
  for (auto verdict : {judge_status(500), judge_status(502, "x"), judge_status(503, "SlowDown"), judge_status(429),
                       judge_status(400, "BadDigest"), judge_status(400, "RequestTimeout"),
                       judge_transport(Transport::broken), judge_transport(Transport::stalled),
                       judge_transport(Transport::refused), judge_transport(Transport::unknown_host)}) {
    EXPECT_TRUE(verdict.again) << verdict.error.text();
    EXPECT_EQ(verdict.error.code, ErrorCode::kArchiveUnavailable);
  }
  EXPECT_EQ(judge_status(503, "SlowDown").outcome, Outcome::throttled);
  EXPECT_EQ(judge_status(206).outcome, Outcome::ok);
  EXPECT_EQ(judge_transport(Transport::deadline).error.code, ErrorCode::kTimeout);
}

TEST_F(S3Failures, WhatDoesNotPassSaysWhatToDo) {
  auto expect = [&](const Verdict& verdict, const char* help) {
    EXPECT_FALSE(verdict.again) << help;
    EXPECT_EQ(verdict.error.code, ErrorCode::kArchiveUnavailable) << help;
    EXPECT_THAT(verdict.error.text(), HasSubstr(help));
  };
  expect(judge_status(403, "SignatureDoesNotMatch"), "secret key is wrong");
  expect(judge_status(403, "InvalidAccessKeyId"), "does not know the access key");
  expect(judge_status(403, "AccessDenied"), "may not do this");
  expect(judge_status(404, "NoSuchBucket"), "create it, or correct archive.url");
  expect(judge_status(403, "RequestTimeTooSkewed"), "2 h 5 min ahead of the archive's");
  expect(judge_status(301, "PermanentRedirect", "<Region>eu-west-1</Region>"), "archive.s3.region=eu-west-1");
  expect(judge_status(400, "AuthorizationHeaderMalformed"), "another region");
  expect(judge_status(403), "check the keys");
  expect(judge_transport(Transport::untrusted), "archive.s3.ca.file");
}

TEST_F(S3Failures, OnlyAMissingObjectIsNotFound) {
  EXPECT_EQ(judge_status(404, "NoSuchKey").error.code, ErrorCode::kNotFound);
  EXPECT_EQ(judge_status(404).error.code, ErrorCode::kNotFound);  // of HEAD
  EXPECT_EQ(judge_status(404, "NoSuchBucket").error.code, ErrorCode::kArchiveUnavailable);
  EXPECT_EQ(judge_status(404, "InvalidAccessKeyId").error.code, ErrorCode::kArchiveUnavailable);
}

// What stands between broker and server, or a web server at the wrong address, knows nothing of objects.
TEST_F(S3Failures, A404ThatIsNotS3sSaysNothingOfTheObject) {
  auto judge_page = [&](std::string body, std::string type) {
    Answer answer;
    answer.status = 404;
    answer.headers["content-type"] = std::move(type);
    answer.body = std::move(body);
    return judge(answer, location, "GET k", now);
  };
  for (const auto& verdict :
       {judge_page("<html><body>Not Found</body></html>", "text/html"), judge_page("no such page\n", "text/plain"),
        judge_page("<html><body>Not Found<br></body></html>", ""), judge_page("", "text/html; charset=utf-8")}) {
    EXPECT_EQ(verdict.error.code, ErrorCode::kArchiveUnavailable);
    EXPECT_EQ(verdict.outcome, Outcome::refused);
    EXPECT_THAT(verdict.error.text(), HasSubstr("archive.s3.endpoint"));
  }
  EXPECT_EQ(judge_page("", "application/xml").error.code, ErrorCode::kNotFound);
}

TEST_F(S3Failures, KeysThatTheServerDoesNotTakeAreReadAgain) {
  for (const auto* code : {"ExpiredToken", "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch"})
    EXPECT_TRUE(judge_status(403, code).keys_expired) << code;
  EXPECT_FALSE(judge_status(403, "AccessDenied").keys_expired);
  // An answer to HEAD does not say why.
  EXPECT_TRUE(judge_status(403).keys_expired);
  EXPECT_TRUE(judge_status(400).keys_expired);
}

TEST(S3Backoff, DoublesWithJitterUntilTheTimeIsUp) {
  Backoff backoff{100ms, 1s};
  EXPECT_EQ(pause_before(1, Outcome::transport, backoff, 10s, 0), 50ms);
  EXPECT_EQ(pause_before(2, Outcome::transport, backoff, 10s, 0), 100ms);
  EXPECT_EQ(pause_before(60, Outcome::transport, backoff, 10s, 0), 500ms);
  EXPECT_EQ(pause_before(1, Outcome::throttled, backoff, 10s, 0), 200ms);
  EXPECT_FALSE(pause_before(1, Outcome::transport, backoff, 50ms, 0));
  for (std::uint64_t draw = 0; draw < 1000; ++draw) {
    auto pause = pause_before(2, Outcome::transport, backoff, 10s, draw * 1'000'003);
    ASSERT_TRUE(pause && *pause >= 100ms && *pause < 300ms);
  }
}

// --- slots -----------------------------------------------------------------------------------------------------------

TEST(S3RequestSlots, AQuarterIsKeptForThoseWhoWait) {
  RequestSlots<int> slots(8);
  for (int i = 0; i < 20; ++i) slots.wait(TrafficClass::prefetch, i);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(slots.start_next(), i);
  EXPECT_FALSE(slots.start_next());
  slots.wait(TrafficClass::cold, 100);
  slots.wait(TrafficClass::tail, 101);
  EXPECT_EQ(slots.start_next(), 101);
  EXPECT_EQ(slots.start_next(), 100);
  slots.wait(TrafficClass::cold, 102);
  EXPECT_FALSE(slots.start_next());
  slots.end(TrafficClass::prefetch);
  EXPECT_EQ(slots.start_next(), 102);  // before the prefetches, which came earlier
  EXPECT_EQ(slots.in_flight(), 8u);
  EXPECT_EQ(slots.waiting(), 14u);
}

TEST(S3RequestSlots, UploadsTakeNoMoreThanAQuarter) {
  RequestSlots<int> slots(8);
  for (int i = 0; i < 4; ++i) slots.wait(TrafficClass::archive, i);
  EXPECT_TRUE(slots.start_next() && slots.start_next());
  EXPECT_FALSE(slots.start_next());
  slots.end(TrafficClass::archive);
  EXPECT_EQ(slots.start_next(), 2);
  std::vector<int> dropped;
  slots.remove_if([](int) { return true; }, [&](int request) { dropped.push_back(request); });
  EXPECT_EQ(dropped, std::vector{3});
}

}  // namespace
}  // namespace forelog::env::s3
