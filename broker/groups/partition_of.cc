#include "broker/groups/partition_of.h"

#include "broker/base/check.h"

namespace forelog::groups {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// Takes one code point off the front of `text`, which is not empty.
char32_t take_code_point(std::string_view& text) {
  auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  auto first = byte(0);
  std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  bool sound = length > 0 && length <= text.size();
  char32_t point = length == 1 ? first : first & (0xffU >> (length + 1));
  for (std::size_t i = 1; sound && i < length; ++i) {
    sound = (byte(i) & 0xc0) == 0x80;
    point = (point << 6) | (byte(i) & 0x3fU);
  }
  bool surrogate = point >= 0xd800 && point < 0xe000;
  bool overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  if (!sound || surrogate || overlong || point > 0x10ffff) length = 1, point = kReplacement;
  text.remove_prefix(length);
  return point;
}

}  // namespace

std::int32_t java_string_hash(std::string_view utf8) {
  std::uint32_t hash = 0;
  while (!utf8.empty()) {
    auto point = take_code_point(utf8);
    if (point >= 0x10000) {
      hash = 31 * hash + (0xd800 + ((point - 0x10000) >> 10));
      point = 0xdc00 + ((point - 0x10000) & 0x3ff);
    }
    hash = 31 * hash + point;
  }
  return static_cast<std::int32_t>(hash);
}

PartitionId partition_of(const GroupId& group, std::int32_t partitions) {
  CHECK(partitions > 0);
  return PartitionId((java_string_hash(group.value()) & 0x7fffffff) % partitions);
}

}  // namespace forelog::groups
