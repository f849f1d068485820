#include "tests/wire/every_message.h"

#include "broker/wire/consumer_protocol.h"
#include "broker/wire/coordinator_records.h"
#include "broker/wire/messages.h"
#include "tests/wire/field_lists.h"
#include "tests/wire/random_message.h"

namespace forelog::wire {
namespace {

// Calls `visit.template operator()<T>(name, versions, flexible_since)`.
template <class Visit>
void for_every_type(Visit&& visit) {
  AllRequests::for_each([&]<class Request>() {
    const ApiRow& row = row_of(Request::api);
    const std::string name(row.name);
    visit.template operator()<Request>(name + "Request", row.served, row.flexible_since);
    visit.template operator()<typename Request::Response>(name + "Response", row.served, row.flexible_since);
  });
  auto data = [&]<class T>(const char* name) { visit.template operator()<T>(name, T::versions, T::flexible_since); };
  data.template operator()<ConsumerProtocolSubscription>("ConsumerProtocolSubscription");
  data.template operator()<ConsumerProtocolAssignment>("ConsumerProtocolAssignment");
  data.template operator()<OffsetCommitKey>("OffsetCommitKey");
  data.template operator()<OffsetCommitValue>("OffsetCommitValue");
  data.template operator()<GroupMetadataKey>("GroupMetadataKey");
  data.template operator()<GroupMetadataValue>("GroupMetadataValue");
}

template <Described T>
Encoded encoded(const Form& form, const T& message) {
  Encoder encoder(form.version, form.flexible);
  encoder.message(message);
  return {flatten(std::move(encoder).finish()), Printer(form.version).message(message)};
}

template <Described T>
Encoded make_random(const Form& form, env::Random& random) {
  return encoded(form, RandomMessage(random, form.version).make<T>());
}

template <Described T>
Encoded make_default(const Form& form) {
  return encoded(form, T{});
}

template <Described T>
Result<Encoded> recode(const Form& form, const Buffer& bytes) {
  return encoded(form, TRY(Decoder(bytes, form.version, form.flexible).template message<T>()));
}

}  // namespace

const std::vector<Form>& every_form() {
  static const std::vector<Form> forms = [] {
    std::vector<Form> all;
    for_every_type([&all]<class T>(const std::string& name, VersionRange versions, Version flexible_since) {
      for (Version version = versions.min; version <= versions.max; ++version) {
        all.push_back({name + " v" + std::to_string(version), version, version >= flexible_since, &make_random<T>,
                       &make_default<T>, &recode<T>});
      }
    });
    return all;
  }();
  return forms;
}

std::string field_lists() {
  std::string out;
  for_every_type([&]<class T>(const std::string& name, VersionRange versions, Version flexible_since) {
    out += FieldLister().list<T>(name, versions, flexible_since);
  });
  return out;
}

}  // namespace forelog::wire
