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
Encoded make_plausible(const Form& form, env::Random& random, const Vocabulary& vocabulary) {
  return encoded(form, RandomMessage(random, form.version, &vocabulary).make<T>());
}

template <Described T>
Result<Encoded> recode(const Form& form, const Buffer& bytes) {
  return encoded(form, TRY(Decoder(bytes, form.version, form.flexible).template message<T>()));
}

template <Described T>
Result<Encoded> change(const Form& form, const Buffer& bytes, env::Random& random) {
  auto message = TRY(Decoder(bytes, form.version, form.flexible).template message<T>());
  RandomMessage(random, form.version).change(message);
  return encoded(form, message);
}

}  // namespace

const std::vector<Form>& every_form() {
  static const std::vector<Form> forms = [] {
    std::vector<Form> all;
    for_every_type([&all]<class T>(const std::string& name, VersionRange versions, Version flexible_since) {
      for (Version version = versions.min; version <= versions.max; ++version) {
        Form form;
        form.name = name + " v" + std::to_string(version);
        form.version = version;
        form.flexible = version >= flexible_since;
        if constexpr (requires { typename T::Response; }) {
          form.request = &row_of(T::api);
        } else if constexpr (requires { T::api; }) {
          form.response = &row_of(T::api);
        }
        form.make_random = &make_random<T>;
        form.make_default = &make_default<T>;
        form.make_plausible = &make_plausible<T>;
        form.recode = &recode<T>;
        form.change = &change<T>;
        all.push_back(std::move(form));
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
