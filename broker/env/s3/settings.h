// settings.h: what can be set of an archive in S3, besides where it is (archive.url).
#pragma once

#include "broker/base/settings.h"
#include "broker/env/s3/location.h"

namespace forelog::env::s3 {

constexpr std::array<std::string_view, 3> enum_names(PathStyle) { return {"auto", "true", "false"}; }

enum class Checksum : std::uint8_t { crc32c, md5 };
constexpr std::array<std::string_view, 2> enum_names(Checksum) { return {"crc32c", "md5"}; }

struct S3Settings {
  std::string endpoint;
  std::string region;
  PathStyle path_style = PathStyle::automatic;
  std::string access_key;
  std::string secret_key;
  std::string session_token;
  std::string credentials_file;
  std::string profile;
  std::string ca_file;
  std::int32_t requests_max = 256;
  Bytes part_size = 8_MiB;
  Bytes upload_memory = 64_MiB;
  Duration connect_timeout = 3s;
  Duration stall_timeout = 5s;
  Checksum checksum = Checksum::crc32c;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field(
        "archive.s3.endpoint", s.endpoint,
        "The S3 server: https://host or http://host:port. Empty: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon's "
        "of the region.");
    field("archive.s3.region", s.region, "The bucket's region. Empty: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1.");
    field("archive.s3.path.style", s.path_style,
          "Whether the bucket stands in the path instead of the host name. auto: where an endpoint is set.");
    field("archive.s3.access.key", s.access_key, Sensitive{},
          "The access key. Accepted only in a file that nobody but its owner can read. Empty: from the environment "
          "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), else from the credentials file.");
    field("archive.s3.secret.key", s.secret_key, Sensitive{}, "The secret key that belongs to archive.s3.access.key.");
    field("archive.s3.session.token", s.session_token, Sensitive{},
          "The session token that belongs to a temporary archive.s3.access.key.");
    field("archive.s3.credentials.file", s.credentials_file,
          "A credentials file as of the AWS tools, which only its owner can read. Empty: AWS_SHARED_CREDENTIALS_FILE, "
          "else ~/.aws/credentials.");
    field("archive.s3.profile", s.profile, "The section of the credentials file. Empty: AWS_PROFILE, else default.");
    field("archive.s3.ca.file", s.ca_file,
          "Certificates, in PEM, of those who may vouch for the server. Empty: AWS_CA_BUNDLE, else the system's.");
    field("archive.s3.requests.max", s.requests_max, Range<std::int32_t>{8, 4096},
          "Most requests at once; a quarter is kept for reads that somebody waits for.");
    field("archive.s3.part.bytes", s.part_size, Range<Bytes>{5_MiB, 512_MiB},
          "Objects larger than this are uploaded in parts of this size.");
    field("archive.s3.upload.memory", s.upload_memory, Range<Bytes>{5_MiB, 64_GiB},
          "Memory for parts on their way; each core gets its share, and room for one part at least.");
    field("archive.s3.connect.timeout.ms", s.connect_timeout, Range<Duration>{10ms, 300s},
          "Longest wait for a connection.");
    field("archive.s3.stall.timeout.ms", s.stall_timeout, Range<Duration>{1s, 300s},
          "A request on which no byte moves for this long is given up and sent again.");
    field("archive.s3.checksum", s.checksum,
          "What is sent with uploads for the server to check; md5 is for servers that know no crc32c.");
  };
};

}  // namespace forelog::env::s3
