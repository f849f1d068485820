// Any bytes, as any message at any version, as a request frame and as a stream of frames.
//
// Input: which message and version (2 bytes), then its body. What decodes must encode, decode and encode to the same
// bytes. The mutator knows the messages: it changes a field, not a byte, most of the time.
#include "broker/env/simulated/seeded_random.h"
#include "broker/wire/consumer_protocol.h"
#include "broker/wire/coordinator_records.h"
#include "broker/wire/dump.h"
#include "broker/wire/frame.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire/every_message.h"

#include <cstddef>
#include <cstdint>

namespace forelog::wire {
namespace {

const Form& form_of(ByteView input) {
  const auto& forms = every_form();
  return forms[(std::to_integer<std::size_t>(input[0]) << 8 | std::to_integer<std::size_t>(input[1])) % forms.size()];
}

void check_message(const Form& form, const Buffer& body) {
  const fuzz::AllocationMeter meter;
  const auto first = form.recode(form, body);
  // What an array claims is believed up to kArrayMemoryMax when the bytes left could hold it.
  meter.expect_bounded(body.size());
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

std::size_t put(MutableByteView room, std::size_t form, ByteView body) {
  if (room.size() < 2) return 0;
  room[0] = static_cast<std::byte>(form >> 8);
  room[1] = static_cast<std::byte>(form);
  auto size = std::min(body.size(), room.size() - 2);
  if (size > 0) std::memmove(room.data() + 2, body.data(), size);
  return size + 2;
}

}  // namespace
}  // namespace forelog::wire

namespace forelog::fuzz {
std::size_t mutate_wire(MutableByteView room, std::size_t size, std::uint32_t seed) {
  env::SeededRandom random(seed);
  const auto& forms = wire::every_form();
  if (size < 2 || random.chance(0.1)) {
    auto fresh = random.below(forms.size());
    return wire::put(room, fresh, forms[fresh].make_random(forms[fresh], random).bytes);
  }
  const auto& form = wire::form_of(room);
  auto number = static_cast<std::size_t>(&form - forms.data());
  auto body = Buffer::copy_of(ByteView(room).subspan(2, size - 2));
  if (random.chance(0.7)) {
    auto changed = form.change(form, body, random);
    if (changed) return wire::put(room, number, changed->bytes);
  }
  return 2 + mutate_bytes(room.subspan(2), size - 2, random);
}
}  // namespace forelog::fuzz

FUZZ_TARGET_WITH_MUTATOR(wire) {
  using namespace forelog::wire;  // NOLINT: what this is about
  if (input.size() < 2) return;
  // A copy of its own, so that a read past the end is seen.
  const Buffer body = Buffer::copy_of(input.subspan(2));
  check_message(form_of(input), body);
  static_cast<void>(dump_request(body));
  static_cast<void>(decode_data<ConsumerProtocolSubscription>(body));
  static_cast<void>(decode_coordinator_key(body));
  check_stream(body);
}
