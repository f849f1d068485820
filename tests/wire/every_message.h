// every_message.h: every message at every version that is served, behind functions without types, so that the codec is
// compiled once for all tests.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/random.h"
#include "broker/wire/field_notes.h"

#include <string>
#include <vector>

namespace forelog::wire {

// A message as bytes, without header, error codes as they are; and as text, with the fields that its version has.
struct Encoded {
  Buffer bytes;
  std::string text;
};

// One version of one message.
struct Form {
  std::string name;  // "FetchRequest v4"
  Version version = 0;
  bool flexible = false;
  Encoded (*make_random)(const Form&, env::Random&);
  Encoded (*make_default)(const Form&);
  Result<Encoded> (*recode)(const Form&, const Buffer&);  // decoded, and encoded and printed again
};

const std::vector<Form>& every_form();

// The field lists of all messages; the form is told in field_lists.h.
std::string field_lists();

}  // namespace forelog::wire
