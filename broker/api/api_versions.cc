#include "broker/api/handlers.h"

namespace forelog::api {

Task<wire::ApiVersionsResponse> api_versions(Context context, wire::ApiVersionsRequest request) {
  if (context.version >= 3 && !request.is_valid()) {
    wire::ApiVersionsResponse refused;
    refused.error_code = ErrorCode::kInvalidRequest;
    co_return refused;
  }
  context.client->software_name = std::move(request.client_software_name);
  context.client->software_version = std::move(request.client_software_version);
  co_return wire::api_versions();
}

}  // namespace forelog::api
