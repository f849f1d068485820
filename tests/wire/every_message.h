// every_message.h: every message at every version that is served, behind functions without types, so that the codec is
// compiled once for all tests.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/random.h"
#include "broker/wire/api_table.h"
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
struct Vocabulary;
struct Form {
  std::string name;  // "FetchRequest v4"
  Version version = 0;
  bool flexible = false;
  const ApiRow* request = nullptr;   // of a request: its API
  const ApiRow* response = nullptr;  // of a response
  Encoded (*make_random)(const Form&, env::Random&) = nullptr;
  Encoded (*make_default)(const Form&) = nullptr;
  Encoded (*make_plausible)(const Form&, env::Random&, const Vocabulary&) = nullptr;
  Result<Encoded> (*recode)(const Form&, const Buffer&) = nullptr;  // decoded, and encoded and printed again
  Result<Encoded> (*change)(const Form&, const Buffer&,
                            env::Random&) = nullptr;  // the same, with one thing changed in between
};

const std::vector<Form>& every_form();

// The field lists of all messages; the form is told in field_lists.h.
std::string field_lists();

}  // namespace forelog::wire
