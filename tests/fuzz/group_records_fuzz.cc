// Any bytes, as key and value of a record in __consumer_offsets, and as what a consumer says of its topics.
//
// Input: length of the key (1 byte), the key, the value. What decodes must encode and decode to the same.
#include "broker/groups/records.h"
#include "broker/groups/subscription.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace forelog;
  using namespace forelog::groups;
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const std::byte*>(data + 1), size - 1);  // NOLINT: the fuzzer's signature
  const auto key_size = std::min<std::size_t>(data[0], input.size());
  // Copies of their own, so that a read past the end is seen.
  const Buffer key = Buffer::copy_of(input.first(key_size));
  const Buffer value = Buffer::copy_of(input.subspan(key_size));
  if (auto first = decode_record(key, value.view()); first && *first) {
    auto encoded = encode_record(**first);
    auto second = decode_record(encoded.key, encoded.value->view());
    CHECK(second && *second);
    auto again = encode_record(**second);
    CHECK(again.key == encoded.key && again.value == encoded.value);
  }
  static_cast<void>(topics_of_subscription(value));
  static_cast<void>(partitions_of_assignment(value));
  return 0;
}
