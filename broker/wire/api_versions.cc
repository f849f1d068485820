#include "broker/wire/api_versions.h"

#include <algorithm>

namespace forelog::wire {
namespace {

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?
bool is_software_text(std::string_view text) {
  if (text.empty() || !is_letter_or_digit(text.front()) || !is_letter_or_digit(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '.'; });
}

ApiVersionsResponse::ApiVersion entry_of(const ApiRow& row) {
  return {static_cast<std::int16_t>(row.key), row.advertised.min, row.advertised.max};
}

}  // namespace

bool ApiVersionsRequest::is_valid() const {
  return is_software_text(client_software_name) && is_software_text(client_software_version);
}

ApiVersionsResponse api_versions() {
  ApiVersionsResponse response;
  for (const ApiRow& row : api_table()) {
    if (!row.advertised.empty()) response.api_keys.push_back(entry_of(row));
  }
  return response;
}

Slices encode_unsupported_api_versions(std::int32_t correlation_id) {
  ApiVersionsResponse response;
  response.error_code = ErrorCode::kUnsupportedVersion;
  response.api_keys.push_back(entry_of(row_of(ApiKey::kApiVersions)));
  return encode_response(response, 0, correlation_id);
}

}  // namespace forelog::wire
