// What an S3 server, its settings and its credentials file may say: any text; and answers with drawn contents, which
// must be read as they were meant.
#include "broker/env/s3/answers.h"
#include "broker/env/s3/credentials.h"
#include "broker/env/s3/location.h"
#include "broker/env/s3/uri.h"
#include "broker/env/s3/xml.h"
#include "tests/fuzz/fuzz.h"

namespace forelog::env::s3 {
namespace {

using fuzz::Decisions;

void check_any(std::string_view text) {
  const fuzz::AllocationMeter meter;
  static_cast<void>(parse_xml(text));
  static_cast<void>(parse_list(text));
  static_cast<void>(parse_uploads(text));
  static_cast<void>(parse_upload_id(text));
  static_cast<void>(parse_error(text));
  static_cast<void>(parse_iso_time(text));
  static_cast<void>(parse_http_date(text));
  static_cast<void>(parse_credentials_file(text, {"credentials", "default"}));
  meter.expect_bounded(text.size());
}

// A name that XML can hold: S3 itself refuses others, or encodes them.
std::string draw_text(Decisions& in) {
  auto text = in.text(20);
  for (char& c : text) c = static_cast<char>(' ' + static_cast<unsigned char>(c) % 95);
  return text;
}

void check_listing(Decisions& in) {
  std::vector<std::pair<std::string, std::int64_t>> meant;
  std::string body = "<ListBucketResult>";
  for (auto count = in.between<int>(0, 4); count > 0; --count) {
    meant.emplace_back("k" + draw_text(in) + "k", in.between<std::int64_t>(0, INT64_MAX));
    body += "<Contents><Key>" + xml_escape(meant.back().first) + "</Key><Size>" + std::to_string(meant.back().second) +
            "</Size></Contents>";
  }
  body += "</ListBucketResult>";
  auto page = parse_list(body);
  CHECK(page.has_value() && page->objects.size() == meant.size());
  for (std::size_t i = 0; i < meant.size(); ++i) {
    CHECK(page->objects[i].key == meant[i].first && page->objects[i].size == meant[i].second);
  }
  for (int i = 0; i < 3; ++i) {
    body[in.between<std::size_t>(0, body.size() - 1)] = static_cast<char>(in.any<char>());
    check_any(body);
  }
}

void check_location(Decisions& in) {
  LocationSettings settings;
  settings.url = in.any<bool>() ? "s3://" + in.text(30) : in.text(30);
  settings.endpoint = in.any<bool>() ? "http://" + in.text(30) : in.text(30);
  settings.region = in.text(10);
  auto place = locate(settings);
  if (!place) return;
  CHECK(!place->bucket.empty() && !place->host.empty());
  auto path = place->path_of(in.text(30));
  CHECK(path.starts_with("/") && path.find(' ') == std::string::npos && path.find('?') == std::string::npos);
}

}  // namespace
}  // namespace forelog::env::s3

FUZZ_TARGET(s3) {
  using namespace forelog::env::s3;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  if (kind <= 1) return check_any(in.rest().text());
  if (kind == 2) return check_listing(in);
  check_location(in);
}
