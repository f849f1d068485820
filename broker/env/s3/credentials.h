// credentials.h: which keys requests are signed with, and where they come from.
//
// Pure: the caller reads the environment and files. First of: settings, environment, credentials file. Errors name the
// place and what to do; none repeats a key.
#pragma once

#include "broker/base/result.h"
#include "broker/env/s3/settings.h"
#include "broker/env/s3/signature.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::env::s3 {

// The value of an environment variable; none when it is not set or empty.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The settings' keys, else the environment's; none: they are to be looked for in a file. InvalidSetting when half of
// them is missing.
Result<std::optional<Credentials>> given_credentials(const S3Settings& settings, const Environment& environment);

struct CredentialsPlace {
  std::string path;  // empty: there is no home to look in
  std::string profile;
};
CredentialsPlace credentials_place(const S3Settings& settings, const Environment& environment);

// The profile's keys from a credentials file: sections in brackets, `name = value`, comments with # or ;.
Result<Credentials> parse_credentials_file(std::string_view text, const CredentialsPlace& place);

// Refuses a file with secrets that others than its owner can read. `mode` as of stat(2); `what` names the file.
Result<void> check_private(std::string_view what, unsigned mode);

// Where the archive is, with what the environment says where the settings say nothing.
LocationSettings location_settings(std::string url, const S3Settings& settings, const Environment& environment);

}  // namespace forelog::env::s3
