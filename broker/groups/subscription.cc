#include "broker/groups/subscription.h"

#include "broker/base/byte_reader.h"
#include "broker/groups/types.h"

#include <cstdint>

namespace forelog::groups {

std::optional<std::set<std::string>> topics_of_subscription(ByteView metadata) {
  // Every version begins alike (version, then topics) and later versions only add behind, so nothing more is decoded.
  ByteReader reader(metadata);
  auto version = reader.i16();
  auto count = reader.i32();
  if (!reader.ok() || version < 0 || count < 0) return {};
  std::set<std::string> topics;
  for (std::int32_t i = 0; i < count && reader.ok(); ++i) topics.emplace(reader.text(reader.i16()));
  if (!reader.ok()) return {};
  return topics;
}

bool subscribes_to_the_same(std::string_view protocol_type, ByteView a, ByteView b) {
  if (as_text(a) == as_text(b)) return true;
  if (protocol_type != kConsumerProtocolType) return false;
  auto topics = topics_of_subscription(a);
  return topics && topics == topics_of_subscription(b);
}

}  // namespace forelog::groups
