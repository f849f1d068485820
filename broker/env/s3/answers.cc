#include "broker/env/s3/answers.h"

#include "broker/env/s3/xml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

namespace forelog::env::s3 {
namespace {

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<WallTime> wall_time(int year, unsigned month, unsigned day, std::string_view clock) {
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || clock.size() < 8 || clock[2] != ':' || clock[5] != ':') return std::nullopt;
  auto hours = number<int>(clock.substr(0, 2));
  auto minutes = number<int>(clock.substr(3, 2));
  auto seconds = number<int>(clock.substr(6, 2));
  if (!hours || !minutes || !seconds) return std::nullopt;
  auto moment = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hours) +
                std::chrono::minutes(*minutes) + std::chrono::seconds(*seconds);
  return WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(moment));
}

Result<XmlElement> parse_root(std::string_view body, std::string_view name) {
  auto root = TRY(parse_xml(body));
  if (root.name != name)
    return fail(ErrorCode::kMalformed, "<" + root.name + "> where <" + std::string(name) + "> belongs");
  return root;
}

}  // namespace

Result<ListPage> parse_list(std::string_view body) {
  auto root = TRY(parse_root(body, "ListBucketResult"));
  ListPage page;
  for (const auto& element : root.children) {
    if (element.name != "Contents") continue;
    auto size = number<Bytes>(element.child_text("Size"));
    if (!size || *size < 0) return fail(ErrorCode::kMalformed, "a listed object without a size");
    page.objects.push_back({std::string(element.child_text("Key")), *size});
  }
  page.more = root.child_text("IsTruncated") == "true";
  if (page.more) page.next = root.child_text("NextContinuationToken");
  return page;
}

Result<UploadsPage> parse_uploads(std::string_view body) {
  auto root = TRY(parse_root(body, "ListMultipartUploadsResult"));
  UploadsPage page;
  for (const auto& element : root.children) {
    if (element.name != "Upload") continue;
    auto initiated = parse_iso_time(element.child_text("Initiated"));
    if (!initiated) return fail(ErrorCode::kMalformed, "an upload without the time of its beginning");
    page.uploads.push_back(
        {std::string(element.child_text("Key")), std::string(element.child_text("UploadId")), *initiated});
  }
  if (root.child_text("IsTruncated") == "true") {
    page.next_key = root.child_text("NextKeyMarker");
    page.next_id = root.child_text("NextUploadIdMarker");
  }
  return page;
}

Result<std::string> parse_upload_id(std::string_view body) {
  auto root = TRY(parse_root(body, "InitiateMultipartUploadResult"));
  std::string id(root.child_text("UploadId"));
  if (id.empty()) return fail(ErrorCode::kMalformed, "an upload without an id");
  return id;
}

std::optional<ServerError> parse_error(std::string_view body) {
  auto root = parse_root(body, "Error");
  if (!root) return std::nullopt;
  return ServerError{std::string(root->child_text("Code")), std::string(root->child_text("Message")),
                     std::string(root->child_text("Region"))};
}

std::optional<WallTime> parse_iso_time(std::string_view text) {
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T') return std::nullopt;
  auto year = number<int>(text.substr(0, 4));
  auto month = number<unsigned>(text.substr(5, 2));
  auto day = number<unsigned>(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  return wall_time(*year, *month, *day, text.substr(11));
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() < 25 || text[3] != ',') return std::nullopt;
  auto day = number<unsigned>(text.substr(5, 2));
  const auto* month = std::ranges::find(kMonths, text.substr(8, 3));
  auto year = number<int>(text.substr(12, 4));
  if (!day || !year || month == kMonths.end()) return std::nullopt;
  return wall_time(*year, static_cast<unsigned>(month - kMonths.begin()) + 1, *day, text.substr(17));
}

}  // namespace forelog::env::s3
