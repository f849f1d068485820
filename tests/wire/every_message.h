// every_message.h: loops over every message at every version that is served.
#pragma once

#include "broker/wire/consumer_protocol.h"
#include "broker/wire/coordinator_records.h"
#include "broker/wire/messages.h"

#include <string>

namespace forelog::wire {

// How one version of one message is encoded, apart from its type.
struct Form {
  std::string name;  // "FetchRequest v4"
  Version version = 0;
  bool flexible = false;
};

// Calls `visit.template operator()<T>(name, versions, flexible_since)`.
template <class Visit>
void for_every_type(Visit&& visit) {
  AllRequests::for_each([&]<class Request>() {
    const ApiRow& row = row_of(Request::api);
    visit.template operator()<Request>(std::string(row.name) + "Request", row.served, row.flexible_since);
    visit.template operator()<typename Request::Response>(std::string(row.name) + "Response", row.served,
                                                          row.flexible_since);
  });
  auto data = [&]<class T>(const char* name) { visit.template operator()<T>(name, T::versions, T::flexible_since); };
  data.template operator()<ConsumerProtocolSubscription>("ConsumerProtocolSubscription");
  data.template operator()<ConsumerProtocolAssignment>("ConsumerProtocolAssignment");
  data.template operator()<OffsetCommitKey>("OffsetCommitKey");
  data.template operator()<OffsetCommitValue>("OffsetCommitValue");
  data.template operator()<GroupMetadataKey>("GroupMetadataKey");
  data.template operator()<GroupMetadataValue>("GroupMetadataValue");
}

// Calls `visit.template operator()<T>(form)` for each version of each type.
template <class Visit>
void for_every_form(Visit&& visit) {
  for_every_type([&]<class T>(const std::string& name, VersionRange versions, Version flexible_since) {
    for (Version version = versions.min; version <= versions.max; ++version) {
      visit.template operator()<T>(Form{name + " v" + std::to_string(version), version, version >= flexible_since});
    }
  });
}

// The body alone, error codes as they are.
template <Described T>
Buffer encode_body(const T& message, const Form& form) {
  Encoder encoder(form.version, form.flexible);
  encoder.message(message);
  return flatten(std::move(encoder).finish());
}

template <Described T>
Result<T> decode_body(const Buffer& body, const Form& form) {
  return Decoder(body, form.version, form.flexible).template message<T>();
}

}  // namespace forelog::wire
