#include "broker/env/real/s3_credentials.h"

#include "broker/env/real/posix_file.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <sys/stat.h>

namespace forelog::env {
namespace {

Result<s3::Credentials> find_keys(const s3::S3Settings& settings) {
  if (auto given = TRY(s3::given_credentials(settings, environment_variable))) return *std::move(given);
  auto place = s3::credentials_place(settings, environment_variable);
  constexpr const char* kWhatToDo =
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a credentials file with archive.s3.credentials.file, "
      "or "
      "set archive.s3.access.key and archive.s3.secret.key in a settings file that only its owner can read";
  struct stat status{};
  if (place.path.empty() || ::stat(place.path.c_str(), &status) < 0) {
    auto why = place.path.empty() ? std::string("no keys for the archive are given")
                                  : "no keys for the archive are given, and the credentials file " +
                                        posix_error("opening", place.path, errno).context;
    return fail(ErrorCode::kInvalidSetting, why + "; " + kWhatToDo);
  }
  TRY(s3::check_private(place.path, status.st_mode));
  std::ifstream file(place.path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    return fail(ErrorCode::kInvalidSetting, "the credentials file " + place.path + " cannot be read; " + kWhatToDo);
  return s3::parse_credentials_file(text.str(), place);
}

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

Result<std::unique_ptr<S3Credentials>> S3Credentials::find(s3::S3Settings settings) {
  std::unique_ptr<S3Credentials> out(new S3Credentials(std::move(settings)));
  out->keys_ = std::make_shared<const s3::Credentials>(TRY(find_keys(out->settings_)));
  return out;
}

std::shared_ptr<const s3::Credentials> S3Credentials::get() const {
  std::lock_guard lock(mutex_);
  return keys_;
}

bool S3Credentials::reload() {
  auto found = find_keys(settings_);
  if (!found) return false;
  std::lock_guard lock(mutex_);
  if (*found == *keys_) return false;
  keys_ = std::make_shared<const s3::Credentials>(*std::move(found));
  return true;
}

}  // namespace forelog::env
