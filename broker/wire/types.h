// types.h: the field types that only the wire has.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"

#include <cstdint>

namespace forelog::wire {

// A `records` field: whole record batches, never copied. Decoded, they are one slice of the request's frame; to be
// encoded, they may lie in any number of buffers.
struct Records {
  Slices slices;
  bool is_null = false;  // sent as null; different from empty only on the wire

  Records() = default;
  Records(Buffer bytes) { slices.push_back(std::move(bytes)); }  // NOLINT: records are bytes
  Records(Slices bytes) : slices(std::move(bytes)) {}            // NOLINT

  Bytes size() const { return total_size(slices); }
  bool empty() const { return size() == 0; }
  Buffer flat() const { return flatten(slices); }  // no copy when there is only one slice
};

// An `error_code` field. Handlers put our error in, as it is; which code the client may see for it in this API and
// version is decided when the response is encoded (see `code_to_send` in api_table.h).
struct WireError {
  std::int16_t code = 0;

  constexpr WireError() = default;
  constexpr explicit WireError(std::int16_t raw) : code(raw) {}
  WireError(ErrorCode error) : code(wire_code_of(error)) {}  // NOLINT: the table translates
  WireError(const Error& error) : WireError(error.code) {}   // NOLINT

  constexpr bool ok() const { return code == 0; }
  friend constexpr bool operator==(const WireError&, const WireError&) = default;
};

}  // namespace forelog::wire
