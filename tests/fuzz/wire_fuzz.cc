// Any bytes, as any message at any version, as a request frame and as a stream of frames.
//
// Input: which message and version (2 bytes), then its body. What decodes must encode, decode and encode to the same
// bytes.
#include "broker/wire/consumer_protocol.h"
#include "broker/wire/coordinator_records.h"
#include "broker/wire/dump.h"
#include "broker/wire/frame.h"
#include "tests/wire/every_message.h"

#include <cstddef>
#include <cstdint>

namespace forelog::wire {
namespace {

void check_message(const Form& form, const Buffer& body) {
  const auto first = form.recode(form, body);
  if (!first) return;
  const auto second = form.recode(form, first->bytes);
  CHECK(second.has_value());
  CHECK(second->bytes == first->bytes && second->text == first->text);
}

void check_stream(ByteView bytes) {
  FrameReader reader(64_KiB);
  while (!bytes.empty()) {
    const MutableByteView space = reader.space();
    const std::size_t size = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), size);
    bytes = bytes.subspan(size);
    reader.filled(size);
    for (;;) {
      auto frame = reader.next();
      if (!frame) return;
      if (!*frame) break;
      CHECK((*frame)->size() <= 64_KiB);
    }
  }
}

}  // namespace
}  // namespace forelog::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace forelog;
  using namespace forelog::wire;
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);  // NOLINT: the fuzzer's signature
  if (size < 2) return 0;
  // A copy of its own, so that a read past the end is seen.
  const Buffer body = Buffer::copy_of(input.subspan(2));
  const auto& forms = every_form();
  check_message(forms[static_cast<std::size_t>(data[0] << 8 | data[1]) % forms.size()], body);
  static_cast<void>(dump_request(body));
  static_cast<void>(decode_data<ConsumerProtocolSubscription>(body));
  static_cast<void>(decode_coordinator_key(body));
  check_stream(body);
  return 0;
}
