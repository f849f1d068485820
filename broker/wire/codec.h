// codec.h: whole messages ⇄ frames. What api handlers, clients of other brokers, dumps and tests call.
//
// A message is a struct with a field list (see field_notes.h) and
//   static constexpr ApiKey api = ApiKey::kFetch;   and, in a request, `using Response = FetchResponse;`
// or, for payloads that carry their version in front (data messages),
//   static constexpr VersionRange versions{0, 3};   static constexpr Version flexible_since = kNever;
#pragma once

#include "broker/wire/api_table.h"
#include "broker/wire/decoder.h"
#include "broker/wire/encoder.h"
#include "broker/wire/header.h"
#include "broker/wire/printer.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::wire {

template <class T>
concept ApiMessage = Described<T> && requires { T::api; };
template <class T>
concept DataMessage = Described<T> && requires { T::versions; };

// The body of a request or response, after its header. Malformed names the field. Bytes after the message are refused
// unless `rest` ignores them, as Kafka's broker does with requests: librdkafka 2.16 leaves three behind an all-topics
// Metadata of a flexible version.
template <ApiMessage T>
Result<T> decode(const Buffer& body, Version version, Decoder::Rest rest = Decoder::Rest::kRefused) {
  const ApiRow& api = row_of(T::api);
  auto decoded = Decoder(body, version, api.is_flexible(version)).message<T>(rest);
  if (!decoded) decoded.error().context.insert(0, std::string(api.name) + " v" + std::to_string(version) + ": ");
  return decoded;
}

// A whole response frame, length in front; ready to be written. Error codes pass through the API's row.
template <ApiMessage T>
Slices encode_response(const T& response, Version version, std::int32_t correlation_id) {
  const ApiRow& api = row_of(T::api);
  Encoder encoder(version, api.is_flexible(version), &api);
  encoder.bytes().u32(0);
  write_response_header(encoder.bytes(), api, version, correlation_id);
  encoder.message(response);
  encoder.bytes().patch(0, static_cast<std::uint32_t>(encoder.size() - 4));
  return std::move(encoder).finish();
}

// A whole request frame, length in front.
template <ApiMessage T>
Slices encode_request(const T& request, Version version, std::int32_t correlation_id, std::string_view client_id) {
  const ApiRow& api = row_of(T::api);
  Encoder encoder(version, api.is_flexible(version));
  encoder.bytes().u32(0);
  write_request_header(encoder.bytes(), api, version, correlation_id, client_id);
  encoder.message(request);
  encoder.bytes().patch(0, static_cast<std::uint32_t>(encoder.size() - 4));
  return std::move(encoder).finish();
}

// A data message with its int16 version in front.
template <DataMessage T>
Buffer encode_data(const T& message, Version version) {
  Encoder encoder(version, version >= T::flexible_since);
  encoder.bytes().i16(version);
  encoder.message(message);
  return flatten(std::move(encoder).finish());
}

// A data message as above. A version above ours is refused, unless T says that later versions only append: then it is
// read as our newest, and what follows is ignored.
template <DataMessage T>
Result<T> decode_data(const Buffer& bytes) {
  constexpr bool appends = requires { T::later_versions_only_append; };
  ByteReader in(bytes);
  Version version = in.i16();
  if constexpr (appends) version = std::min(version, T::versions.max);
  if (!in.ok() || !T::versions.contains(version)) return fail(ErrorCode::kMalformed, "unknown version of the record");
  Decoder decoder(bytes.slice(in.position()), version, version >= T::flexible_since);
  return decoder.message<T>(appends ? Decoder::Rest::kIgnored : Decoder::Rest::kRefused);
}

template <ApiMessage T>
std::string to_text(const T& message, Version version) {
  return Printer(version).message(message);
}

}  // namespace forelog::wire
