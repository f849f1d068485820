#include "broker/groups/offsets.h"

#include <algorithm>
#include <utility>

namespace forelog::groups {

void Offsets::put(const TopicPartition& partition, CommittedOffset committed, Offset logged) {
  uncertain_.erase(partition);
  auto [at, is_new] = offsets_.try_emplace(partition);
  if (!is_new && at->second.logged > logged) return;
  at->second = {std::move(committed), logged};
}

void Offsets::forget(const TopicPartition& partition, Offset logged) {
  uncertain_.erase(partition);
  auto at = offsets_.find(partition);
  if (at != offsets_.end() && at->second.logged < logged) offsets_.erase(at);
}

const CommittedOffset* Offsets::find(const TopicPartition& partition) const {
  auto at = offsets_.find(partition);
  return at == offsets_.end() ? nullptr : &at->second.committed;
}

std::map<TopicPartition, CommittedOffset> Offsets::all() const {
  std::map<TopicPartition, CommittedOffset> out;
  for (const auto& [partition, entry] : offsets_) out.emplace(partition, entry.committed);
  return out;
}

std::vector<TopicPartition> Offsets::partitions() const {
  std::set<TopicPartition> all;
  for (const auto& [partition, entry] : offsets_) all.insert(partition);
  for (const auto& [partition, count] : in_flight_) all.insert(partition);
  all.insert(uncertain_.begin(), uncertain_.end());
  return {all.begin(), all.end()};
}

void Offsets::end_commit(const TopicPartition& partition) {
  auto at = in_flight_.find(partition);
  if (at != in_flight_.end() && --at->second == 0) in_flight_.erase(at);
}

void Offsets::fail_commit(const TopicPartition& partition) {
  end_commit(partition);
  uncertain_.insert(partition);
}

std::map<TopicPartition, Offset> Offsets::places(const TopicName& topic) const {
  std::map<TopicPartition, Offset> out;
  for (const auto& [partition, entry] : offsets_) {
    if (partition.topic == topic) out.emplace(partition, entry.logged);
  }
  for (const auto& [partition, count] : in_flight_) {
    if (partition.topic == topic) out.emplace(partition, kNoOffset);
  }
  for (const auto& partition : uncertain_) {
    if (partition.topic == topic) out.emplace(partition, kNoOffset);
  }
  return out;
}

std::vector<TopicPartition> Offsets::expired(const Group& group, WallTime now, Duration retention) const {
  bool without_members = group.protocol_type() && group.state() == GroupState::empty;
  bool simple = !group.protocol_type();
  bool subscribed = group.protocol_type() == kConsumerProtocolType && group.state() == GroupState::stable &&
                    group.subscribed_topics().has_value();
  if (!without_members && !simple && !subscribed) return {};

  std::vector<TopicPartition> out;
  for (const auto& [partition, entry] : offsets_) {
    if (in_flight_.contains(partition)) continue;
    if (subscribed && group.subscribed_topics()->contains(partition.topic.value())) continue;
    auto since = entry.committed.committed;
    // Records of before Kafka 2.1 do not say since when the group is empty. An administrator may have set the offset
    // since then; it would be a pity to forget that at once.
    if (without_members) since = std::max(since, group.state_since().value_or(since));
    bool over = entry.committed.expires ? now >= *entry.committed.expires : now - since >= retention;
    if (over) out.push_back(partition);
  }
  return out;
}

}  // namespace forelog::groups
