#include "broker/wire/dump.h"

#include "broker/wire/messages.h"

#include <type_traits>

namespace forelog::wire {
namespace {

template <ApiMessage T>
void dump_into(Result<std::string>& out, const Buffer& body, Version version) {
  auto message = decode<T>(body, version);
  if (message) {
    *out += to_text(*message, version);
  } else {
    out = fail(message.error());
  }
}

std::string title(std::string_view name, Version version, std::int32_t correlation_id) {
  return std::string(name) + " v" + std::to_string(version) + " #" + std::to_string(correlation_id);
}

}  // namespace

Result<std::string> dump_request(const Buffer& frame) {
  const ParsedRequest request = TRY(parse_request(frame));
  const RequestHeader& header = request.header;
  if (request.api == nullptr) {
    return title("key " + std::to_string(header.api_key), header.version, header.correlation_id) + ", not served";
  }
  Result<std::string> out = title(request.api->name, header.version, header.correlation_id) + " from " +
                            printable(header.client_id.value_or("nobody")) + ": ";
  AllRequests::for_each([&]<class Request>() {
    if (Request::api == request.api->key) dump_into<Request>(out, request.body, header.version);
  });
  return out;
}

Result<std::string> dump_response(const Buffer& frame, const ApiRow& api, Version version) {
  const ParsedResponse response = TRY(parse_response(frame, api, version));
  Result<std::string> out = title(api.name, version, response.correlation_id) + " answer: ";
  AllRequests::for_each([&]<class Request>() {
    if (Request::api == api.key) dump_into<typename Request::Response>(out, response.body, version);
  });
  return out;
}

}  // namespace forelog::wire
