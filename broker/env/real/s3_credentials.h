// s3_credentials.h: the keys that requests to S3 are signed with, read from where they lie, and again when they
// expired.
#pragma once

#include "broker/base/result.h"
#include "broker/env/s3/credentials.h"

#include <memory>
#include <mutex>

namespace forelog::env {

// Any thread may call.
class S3Credentials {
 public:
  // InvalidSetting when there are none, or they lie where others can read them. Blocks on a small file.
  static Result<std::unique_ptr<S3Credentials>> find(s3::S3Settings settings);

  std::shared_ptr<const s3::Credentials> get() const;
  // Reads the file again, from which they came. Returns whether there are others now. Blocks on a small file.
  bool reload();

 private:
  explicit S3Credentials(s3::S3Settings settings) : settings_(std::move(settings)) {}

  s3::S3Settings settings_;
  mutable std::mutex mutex_;
  std::shared_ptr<const s3::Credentials> keys_;
};

// The process's environment variables.
std::optional<std::string> environment_variable(const std::string& name);

}  // namespace forelog::env
