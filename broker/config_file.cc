#include "broker/config_file.h"

#include "broker/env/s3/credentials.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/stat.h>

namespace forelog {
namespace {

constexpr std::array<std::string_view, 3> kSecrets = {"archive.s3.access.key", "archive.s3.secret.key",
                                                      "archive.s3.session.token"};

bool holds_secrets(const SettingMap& settings) {
  return std::ranges::any_of(kSecrets, [&](auto key) {
    auto at = settings.find(key);
    return at != settings.end() && !at->second.empty();
  });
}

}  // namespace

Result<SettingMap> read_settings_file(const std::string& path) {
  // A directory can be opened, and reads as an empty file: a broker with defaults would start.
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return fail(ErrorCode::kInvalidSetting, path + " is a directory");
  std::ifstream file(path);
  struct stat status{};
  if (!file || ::stat(path.c_str(), &status) != 0) return fail(ErrorCode::kNotFound, path + ": cannot be opened");
  std::ostringstream text;
  text << file.rdbuf();
  auto settings = TRY(parse_properties(text.str()));
  if (holds_secrets(settings)) TRY(env::s3::check_private(path, status.st_mode));
  return settings;
}

Result<void> apply_flag(SettingMap& settings, const std::string& assignment) {
  SettingMap one;
  TRY(apply_override(one, assignment));
  if (holds_secrets(one))
    return fail(ErrorCode::kInvalidSetting,
                one.begin()->first +
                    " may not be given with --set, where every user of this machine sees it; put it "
                    "into a file that only its owner can read");
  return apply_override(settings, assignment);
}

}  // namespace forelog
