// Any bytes, as key and value of a record in __consumer_offsets, and as what a consumer says of its topics.
//
// Input: length of the key (1 byte), the key, the value. What decodes must encode and decode to the same.
#include "broker/groups/records.h"
#include "broker/groups/subscription.h"
#include "tests/fuzz/fuzz.h"

FUZZ_TARGET(group_records) {
  using namespace forelog::groups;  // NOLINT: what this is about
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  const auto key_size = std::min(std::to_integer<std::size_t>(input[0]), rest.size());
  // Copies of their own, so that a read past the end is seen.
  const Buffer key = Buffer::copy_of(rest.first(key_size));
  const Buffer value = Buffer::copy_of(rest.subspan(key_size));
  const AllocationMeter meter;
  if (auto first = decode_record(key, value.view()); first && *first) {
    auto encoded = encode_record(**first);
    auto second = decode_record(encoded.key, encoded.value->view());
    CHECK(second && *second);
    auto again = encode_record(**second);
    CHECK(again.key == encoded.key && again.value == encoded.value);
  }
  static_cast<void>(topics_of_subscription(value));
  static_cast<void>(partitions_of_assignment(value));
  meter.expect_bounded(input.size());
}
