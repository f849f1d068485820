// answers.h: what S3 says in the bodies of its answers.
//
// Pure.
#pragma once

#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/object_store.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::env::s3 {

// One page of ListObjectsV2.
struct ListPage {
  std::vector<ObjectInfo> objects;
  bool more = false;  // what `next` asks for
  std::string next;   // the token that continues
};
Result<ListPage> parse_list(std::string_view body);

// One page of ListMultipartUploads.
struct UploadsPage {
  struct Upload {
    std::string key;
    std::string id;
    WallTime initiated;
  };
  std::vector<Upload> uploads;
  std::string next_key, next_id;  // empty at the end
};
Result<UploadsPage> parse_uploads(std::string_view body);

Result<std::string> parse_upload_id(std::string_view body);  // of CreateMultipartUpload

// <Error>: also the body of an answer with status 200, when completing an upload failed after it had begun to answer.
struct ServerError {
  std::string code;
  std::string message;
  std::string region;  // where the bucket is, if the server says so
};
std::optional<ServerError> parse_error(std::string_view body);

// "2026-11-23T10:00:00.000Z", as in listings.
std::optional<WallTime> parse_iso_time(std::string_view text);
// "Mon, 23 Nov 2026 10:00:00 GMT", as in the header Date.
std::optional<WallTime> parse_http_date(std::string_view text);

}  // namespace forelog::env::s3
