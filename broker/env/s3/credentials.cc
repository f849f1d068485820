#include "broker/env/s3/credentials.h"

#include <algorithm>

#include <fmt/format.h>

namespace forelog::env::s3 {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  auto from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

// Keys go into header lines: one with a line break or a blank is damaged, and would damage the request.
Result<Credentials> checked(Credentials keys, std::string_view place) {
  auto is_word = [](const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127; });
  };
  if (keys.access_key.empty() || keys.secret_key.empty())
    return fail(ErrorCode::kInvalidSetting,
                fmt::format("{} has only one of access key and secret key; give both", place));
  if (!is_word(keys.access_key) || !is_word(keys.secret_key) || !is_word(keys.session_token))
    return fail(ErrorCode::kInvalidSetting,
                fmt::format("{} has a key with blanks, line breaks or bytes that are no ASCII in it", place));
  return keys;
}

std::string first_of(std::initializer_list<std::string> values) {
  for (const auto& value : values)
    if (!value.empty()) return value;
  return {};
}

}  // namespace

Result<std::optional<Credentials>> given_credentials(const S3Settings& settings, const Environment& environment) {
  Credentials set{settings.access_key, settings.secret_key, settings.session_token};
  if (!set.access_key.empty() || !set.secret_key.empty())
    return TRY(checked(std::move(set), "archive.s3.access.key, archive.s3.secret.key: the settings file"));
  Credentials inherited{environment("AWS_ACCESS_KEY_ID").value_or(""),
                        environment("AWS_SECRET_ACCESS_KEY").value_or(""),
                        environment("AWS_SESSION_TOKEN").value_or("")};
  if (!inherited.access_key.empty() || !inherited.secret_key.empty())
    return TRY(checked(std::move(inherited), "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: the environment"));
  return std::nullopt;
}

CredentialsPlace credentials_place(const S3Settings& settings, const Environment& environment) {
  CredentialsPlace place;
  auto home = environment("HOME").value_or("");
  place.path = first_of({settings.credentials_file, environment("AWS_SHARED_CREDENTIALS_FILE").value_or(""),
                         home.empty() ? "" : home + "/.aws/credentials"});
  place.profile = first_of({settings.profile, environment("AWS_PROFILE").value_or(""), "default"});
  return place;
}

Result<Credentials> parse_credentials_file(std::string_view text, const CredentialsPlace& place) {
  Credentials keys;
  bool found = false, inside = false;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    auto line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = line.back() == ']' && trim(line.substr(1, line.size() - 2)) == place.profile;
      found = found || inside;
      continue;
    }
    auto equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    auto name = trim(line.substr(0, equals));
    std::string value(trim(line.substr(equals + 1)));
    if (name == "aws_access_key_id")
      keys.access_key = std::move(value);
    else if (name == "aws_secret_access_key")
      keys.secret_key = std::move(value);
    else if (name == "aws_session_token")
      keys.session_token = std::move(value);
  }
  if (!found)
    return fail(ErrorCode::kInvalidSetting,
                fmt::format("the credentials file {} has no section [{}]; add it, or name another with "
                            "archive.s3.profile or AWS_PROFILE",
                            place.path, place.profile));
  return checked(std::move(keys), fmt::format("section [{}] of the credentials file {}", place.profile, place.path));
}

Result<void> check_private(std::string_view what, unsigned mode) {
  constexpr unsigned kReadableByOthers = 044;
  if ((mode & kReadableByOthers) == 0) return {};
  return fail(
      ErrorCode::kInvalidSetting,
      fmt::format("{} holds keys of the archive and others than its owner can read it; run: chmod 600 {}", what, what));
}

LocationSettings location_settings(std::string url, const S3Settings& settings, const Environment& environment) {
  auto inherited = [&](const char* name) { return environment(name).value_or(""); };
  return {.url = std::move(url),
          .endpoint = first_of({settings.endpoint, inherited("AWS_ENDPOINT_URL_S3"), inherited("AWS_ENDPOINT_URL")}),
          .region = first_of({settings.region, inherited("AWS_REGION"), inherited("AWS_DEFAULT_REGION")}),
          .path_style = settings.path_style};
}

}  // namespace forelog::env::s3
