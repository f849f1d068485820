// message_of.h: what an answer says of an error whose code stands beside it.
#pragma once

#include "broker/base/result.h"

#include <string>

namespace forelog::api {

// Clients put the code's name in front themselves.
inline std::string message_of(const Error& error) {
  return error.context.empty() ? std::string(text_of(error.code)) : error.context;
}

}  // namespace forelog::api
