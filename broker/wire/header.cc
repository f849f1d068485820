#include "broker/wire/header.h"

#include "broker/base/byte_reader.h"

namespace forelog::wire {
namespace {

void skip_tags(ByteReader& in) {
  for (std::uint32_t count = in.uvarint(); count > 0 && in.ok(); --count) {
    in.uvarint();
    in.bytes(in.uvarint());
  }
}

bool response_is_tagged(const ApiRow& api, Version version) {
  return api.key != ApiKey::kApiVersions && api.is_flexible(version);
}

}  // namespace

Result<ParsedRequest> parse_request(const Buffer& frame) {
  ByteReader in(frame);
  ParsedRequest out;
  out.header.api_key = in.i16();
  out.header.version = in.i16();
  out.header.correlation_id = in.i32();
  if (!in.ok()) return fail(ErrorCode::kMalformed, "request header of " + std::to_string(frame.size()) + " bytes");
  const ApiRow* api = find_api(out.header.api_key);
  // Of a key or version unknown to us the rest is unknown too, but for ApiVersions, which is answered whatever it says.
  if (api == nullptr || !api->served.contains(out.header.version)) return out;

  const std::int16_t client_id_size = in.i16();
  if (client_id_size < -1) in.fail();
  if (client_id_size >= 0) out.header.client_id = std::string(in.text(client_id_size));
  if (api->is_flexible(out.header.version)) skip_tags(in);
  if (!in.ok()) return fail(ErrorCode::kMalformed, "header of a " + std::string(api->name) + " request");
  out.api = api;
  out.body = frame.slice(in.position());
  return out;
}

Result<ParsedResponse> parse_response(const Buffer& frame, const ApiRow& api, Version version) {
  ByteReader in(frame);
  ParsedResponse out;
  out.correlation_id = in.i32();
  if (response_is_tagged(api, version)) skip_tags(in);
  if (!in.ok()) return fail(ErrorCode::kMalformed, "header of a " + std::string(api.name) + " response");
  out.body = frame.slice(in.position());
  return out;
}

void write_request_header(ByteWriter& out, const ApiRow& api, Version version, std::int32_t correlation_id,
                          std::string_view client_id) {
  out.i16(static_cast<std::int16_t>(api.key));
  out.i16(version);
  out.i32(correlation_id);
  client_id = client_id.substr(0, 32767);
  out.i16(static_cast<std::int16_t>(client_id.size()));
  out.text(client_id);
  if (api.is_flexible(version)) out.u8(0);
}

void write_response_header(ByteWriter& out, const ApiRow& api, Version version, std::int32_t correlation_id) {
  out.i32(correlation_id);
  if (response_is_tagged(api, version)) out.u8(0);
}

}  // namespace forelog::wire
