#include "broker/groups/subscription.h"

#include "broker/wire/consumer_protocol.h"

#include <utility>

namespace forelog::groups {

std::optional<std::set<std::string>> topics_of_subscription(const Buffer& metadata) {
  auto decoded = wire::decode_data<wire::ConsumerProtocolSubscription>(metadata);
  if (!decoded) return {};
  std::set<std::string> topics;
  for (const auto& topic : decoded->topics) topics.insert(topic.value());
  return topics;
}

std::optional<std::vector<TopicPartition>> partitions_of_assignment(const Buffer& assignment) {
  // A leader may give a member nothing at all, not even an empty list.
  if (assignment.empty()) return std::vector<TopicPartition>{};
  auto decoded = wire::decode_data<wire::ConsumerProtocolAssignment>(assignment);
  if (!decoded) return {};
  std::vector<TopicPartition> out;
  for (const auto& topic : decoded->assigned_partitions) {
    for (auto partition : topic.partitions) out.push_back({topic.topic, partition});
  }
  return out;
}

bool subscribes_to_the_same(std::string_view protocol_type, const Buffer& a, const Buffer& b) {
  if (a == b) return true;
  if (protocol_type != kConsumerProtocolType) return false;
  auto topics = topics_of_subscription(a);
  return topics && topics == topics_of_subscription(b);
}

}  // namespace forelog::groups
