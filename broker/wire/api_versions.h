// api_versions.h: key 18. Which APIs and versions this broker offers; asked before anything else, also before SASL.
//
// A request in a version that is not served is answered by `encode_unsupported_api_versions`; the response header is
// v0 at every version. v3 is flexible and adds the client's name and version; 4 may say features whose minimum is 0;
// 5 (not served) names the cluster and node that the client means.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct ApiVersionsResponse;

struct ApiVersionsRequest {
  static constexpr ApiKey api = ApiKey::kApiVersions;
  using Response = ApiVersionsResponse;

  std::string client_software_name;
  std::string client_software_version;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("client_software_name", m.client_software_name, since(3));
    field("client_software_version", m.client_software_version, since(3));
  };

  // Kafka's rule for both texts from v3 on; INVALID_REQUEST otherwise.
  bool is_valid() const;
};

struct ApiVersionsResponse {
  static constexpr ApiKey api = ApiKey::kApiVersions;

  struct ApiVersion {
    std::int16_t api_key = 0;
    Version min_version = 0;
    Version max_version = 0;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("api_key", m.api_key);
      field("min_version", m.min_version);
      field("max_version", m.max_version);
    };
  };
  struct SupportedFeature {
    std::string name;
    std::int16_t min_version = 0;
    std::int16_t max_version = 0;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("min_version", m.min_version);
      field("max_version", m.max_version);
    };
  };
  struct FinalizedFeature {
    std::string name;
    std::int16_t max_version_level = 0;
    std::int16_t min_version_level = 0;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("name", m.name);
      field("max_version_level", m.max_version_level);
      field("min_version_level", m.min_version_level);
    };
  };

  WireError error_code;
  std::vector<ApiVersion> api_keys;
  std::int32_t throttle_time_ms = 0;
  std::vector<SupportedFeature> supported_features;
  std::int64_t finalized_features_epoch = -1;
  std::vector<FinalizedFeature> finalized_features;
  bool zk_migration_ready = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("error_code", m.error_code);
    field("api_keys", m.api_keys);
    field("throttle_time_ms", m.throttle_time_ms, since(1));
    field("supported_features", m.supported_features, tag(0, 3));
    field("finalized_features_epoch", m.finalized_features_epoch, tag(1, 3));
    field("finalized_features", m.finalized_features, tag(2, 3));
    field("zk_migration_ready", m.zk_migration_ready, tag(3, 3));
  };
};

// Every API of the table that is advertised, with its advertised versions.
ApiVersionsResponse api_versions();

// The answer to an ApiVersions request whose version is not served: v0 header and body, UNSUPPORTED_VERSION, and our
// own range of ApiVersions, so that the client can ask again in a version both know.
Slices encode_unsupported_api_versions(std::int32_t correlation_id);

}  // namespace forelog::wire
