#include "broker/env/s3/failures.h"

#include "broker/env/s3/answers.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace forelog::env::s3 {
namespace {

constexpr std::size_t kMessageMax = 200;  // of what a server says

Verdict verdict(Outcome outcome, bool again, ErrorCode code, std::string text) {
  return {.outcome = outcome, .again = again, .keys_expired = false, .error = {code, std::move(text)}};
}

Verdict judge_transport(const Answer& answer, const Location& location, const std::string& what) {
  auto failed = [&](bool again, const std::string& text) {
    return verdict(Outcome::transport, again, ErrorCode::kArchiveUnavailable, what + ": " + text);
  };
  auto where = location.scheme + "://" + location.host;
  switch (answer.transport) {
    case Transport::unknown_host:
      return failed(true, "the host of " + where +
                              " is unknown; check archive.s3.endpoint, archive.s3.region and the name service");
    case Transport::refused:
      return failed(true, where +
                              " refuses connections; is the server running, and is the port of "
                              "archive.s3.endpoint right?");
    case Transport::no_route:
      return failed(true, "no connection to " + where + " in time; check the network, and archive.s3.endpoint");
    case Transport::untrusted:
      return failed(false, "the certificate of " + where + " is not to be trusted (" + answer.detail +
                               "); name those who may vouch for it in archive.s3.ca.file");
    case Transport::tls:
      return failed(true, "no secure connection to " + where + " (" + answer.detail + ")");
    case Transport::stalled:
      return failed(true, "no byte moved for archive.s3.stall.timeout.ms");
    case Transport::broken:
      return failed(true, "the connection broke (" + answer.detail + ")");
    case Transport::deadline:
      return verdict(Outcome::timeout, false, ErrorCode::kTimeout, what);
    case Transport::stopping:
      return verdict(Outcome::transport, false, ErrorCode::kStopping, what);
    case Transport::ok:
      break;
  }
  return {};
}

// "2 h 5 min", to the minute.
std::string span_text(Duration span) {
  auto minutes = std::chrono::duration_cast<std::chrono::minutes>(span).count();
  return minutes >= 60 ? fmt::format("{} h {} min", minutes / 60, minutes % 60) : fmt::format("{} min", minutes);
}

std::string skew_text(const Answer& answer, WallTime now) {
  auto theirs = parse_http_date(answer.header("date"));
  if (!theirs) return "this machine's clock differs from the archive's; set it";
  auto ahead = now - *theirs;
  return fmt::format("this machine's clock is {} {} the archive's; set it",
                     span_text(ahead.count() < 0 ? -ahead : ahead), ahead.count() < 0 ? "behind" : "ahead of");
}

// What to do about a refusal, by its code; empty when the code says nothing to us.
std::string advice(const ServerError& said, const Answer& answer, const Location& location, WallTime now) {
  const auto& code = said.code;
  if (code == "SignatureDoesNotMatch" || code == "InvalidSignature")
    return "the secret key is wrong, or something on the way changes requests";
  if (code == "InvalidAccessKeyId" || code == "XAdminUserNotFound") return "the server does not know the access key";
  if (code == "AccessDenied" || code == "AllAccessDisabled")
    return "these keys may not do this; they need to list, read, write and delete in bucket " + location.bucket;
  if (code == "NoSuchBucket") return "there is no bucket " + location.bucket + "; create it, or correct archive.url";
  if (code == "RequestTimeTooSkewed") return skew_text(answer, now);
  if (code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired")
    return "the session token has expired; renew it where it comes from";
  if (code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" || code == "TemporaryRedirect" ||
      code == "IllegalLocationConstraintException") {
    auto region = said.region.empty() ? answer.header("x-amz-bucket-region") : said.region;
    return region.empty() ? "the bucket lies in another region; set archive.s3.region"
                          : "the bucket lies in another region; set archive.s3.region=" + region;
  }
  if (code == "InvalidBucketName") return "the server does not allow this name of a bucket; correct archive.url";
  return {};
}

Verdict judge_refusal(const Answer& answer, const Location& location, const std::string& what, WallTime now) {
  auto said = parse_error(answer.body).value_or(ServerError{});
  auto region = answer.header("x-amz-bucket-region");
  auto help = advice(said, answer, location, now);
  // An answer to HEAD has no body.
  if (help.empty() && answer.status == 403)
    help = "refused; check the keys, what they may do in bucket " + location.bucket + ", and this machine's clock";
  if (help.empty() && answer.status >= 300 && answer.status < 400)
    help = "redirected; set archive.s3.region" + (region.empty() ? " or archive.s3.endpoint" : "=" + region);
  auto text = fmt::format("{}: {}{}{}", what, answer.status, said.code.empty() ? "" : " ", said.code);
  if (!help.empty())
    text += ": " + help;
  else if (!said.message.empty())
    text += ": " + said.message.substr(0, kMessageMax);
  auto out = verdict(Outcome::refused, false, ErrorCode::kArchiveUnavailable, std::move(text));
  out.keys_expired = said.code == "ExpiredToken" || said.code == "InvalidToken" ||
                     said.code == "TokenRefreshRequired" || said.code == "InvalidAccessKeyId" ||
                     said.code == "XAdminUserNotFound" || said.code == "SignatureDoesNotMatch" ||
                     said.code == "InvalidSignature";
  // An answer to HEAD does not say why; a broker that only archives may ask nothing else for hours.
  if (answer.body.empty() && (answer.status == 400 || answer.status == 401 || answer.status == 403))
    out.keys_expired = true;
  // Bytes that arrived damaged arrive well the next time.
  out.again = said.code == "BadDigest" || said.code == "XAmzContentSHA256Mismatch" || said.code == "InvalidDigest" ||
              said.code == "RequestTimeout" || said.code == "IncompleteBody" || said.code == "OperationAborted";
  return out;
}

// Whether S3 itself may have said that there is no object: a proxy, or some other server at the wrong address, answers
// with a page of its own. Taken for S3's word it would make every shard a lost one.
bool is_of_s3(const Answer& answer) {
  if (answer.body.empty()) return !answer.header("content-type").starts_with("text/html");  // to HEAD
  return parse_error(answer.body).has_value();
}

}  // namespace

Verdict judge(const Answer& answer, const Location& location, const std::string& what, WallTime now) {
  if (answer.transport != Transport::ok) return judge_transport(answer, location, what);
  if (answer.status >= 200 && answer.status < 300) return {};
  auto code = answer.body.empty() ? std::string() : parse_error(answer.body).value_or(ServerError{}).code;
  if (answer.status == 404 && !is_of_s3(answer))
    return verdict(
        Outcome::refused, false, ErrorCode::kArchiveUnavailable,
        what + ": 404, but not as S3 says it; does something else answer at archive.s3.endpoint, or on the way?");
  if (answer.status == 404 && (code.empty() || code == "NoSuchKey" || code == "NoSuchUpload"))
    return verdict(Outcome::not_found, false, ErrorCode::kNotFound, what + (code.empty() ? "" : ": " + code));
  bool throttled = answer.status == 429 || code == "SlowDown" || code == "ServiceUnavailable" ||
                   (answer.status == 503 && code.empty());
  if (throttled || answer.status >= 500) {
    auto text = fmt::format("{}: {}{}{}", what, answer.status, code.empty() ? "" : " ", code);
    return verdict(throttled ? Outcome::throttled : Outcome::server_error, true, ErrorCode::kArchiveUnavailable,
                   std::move(text));
  }
  return judge_refusal(answer, location, what, now);
}

std::optional<Duration> pause_before(int attempt, Outcome outcome, const Backoff& backoff, Duration left,
                                     std::uint64_t draw) {
  auto doubled = backoff.first * (std::int64_t{1} << std::min(attempt - 1, 20));
  if (outcome == Outcome::throttled) doubled *= 4;
  auto longest = std::min(doubled, backoff.longest);
  // Half of it is drawn, so that those who failed together do not come back together.
  auto pause = longest / 2 + Duration(static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(longest.count())));
  if (pause >= left) return std::nullopt;
  return pause;
}

}  // namespace forelog::env::s3
