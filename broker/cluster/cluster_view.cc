#include "broker/cluster/cluster_view.h"

#include "broker/base/log.h"
#include "broker/log/topic_settings.h"

#include <algorithm>

namespace forelog::cluster {
namespace {

// `lower` with what `upper` says laid over it.
SettingMap laid_over(const SettingMap& lower, const SettingMap& upper) {
  auto out = upper;
  out.insert(lower.begin(), lower.end());
  return out;
}

template <class Map, class Key>
auto find_or_null(const Map& map, const Key& key) -> decltype(&map.begin()->second) {
  auto at = map.find(key);
  return at == map.end() ? nullptr : &at->second;
}

}  // namespace

const ListenerAddress* BrokerView::listener(std::string_view name) const {
  auto at = std::ranges::find(listeners, name, &ListenerAddress::name);
  return at == listeners.end() ? nullptr : &*at;
}

bool TopicView::internal() const {
  return name.value() == "__consumer_offsets" || name.value() == "__transaction_state" ||
         name.value() == "__access_log";
}

const TopicView* ClusterView::topic(const TopicName& name) const {
  const auto* found = find_or_null(topics_, name);
  return found == nullptr ? nullptr : found->get();
}
const TopicView* ClusterView::topic(const TopicId& id) const {
  const auto* found = find_or_null(by_id_, id);
  return found == nullptr ? nullptr : *found;
}

namespace {
const PartitionView* partition_of(const TopicView* topic, PartitionId partition) {
  if (topic == nullptr || partition.value() < 0) return nullptr;
  auto index = static_cast<std::size_t>(partition.value());
  return index < topic->partitions.size() ? &topic->partitions[index] : nullptr;
}
}  // namespace

const PartitionView* ClusterView::partition(const TopicName& name, PartitionId partition) const {
  return partition_of(topic(name), partition);
}
const PartitionView* ClusterView::partition(const PartitionKey& key) const {
  return partition_of(topic(key.topic), key.partition);
}
const BrokerView* ClusterView::broker(BrokerId id) const { return find_or_null(brokers_, id); }

std::shared_ptr<const log::TopicSettings> resolve_topic_settings(const SettingMap& overrides,
                                                                 const SettingMap& broker) {
  auto settings = std::make_shared<log::TopicSettings>();
  auto apply = [&settings](const SettingRow& row, const SettingMap& from, std::string_view key) {
    auto at = from.find(key);
    if (at == from.end()) return false;
    auto set = row.set(settings.get(), key, at->second);
    if (!set) log_line(warn, "setting_ignored", {{"why", set.error().context}});
    return set.has_value();
  };
  for (const auto& row : setting_rows<log::TopicSettings>()) {
    if (apply(row, overrides, row.name)) continue;
    for (auto synonym : row.synonyms) {
      if (apply(row, broker, synonym)) break;
    }
  }
  return settings;
}

ClusterViewBuilder::ClusterViewBuilder(SettingMap file) {
  view_.file_ = std::move(file);
  dynamic_settings({}, {});
}
ClusterViewBuilder::ClusterViewBuilder(const ClusterView& last) : view_(last) {}

ClusterViewBuilder& ClusterViewBuilder::topic(TopicView topic) {
  topic.settings = resolve_topic_settings(topic.overrides, *view_.broker_settings_);
  auto shared = std::make_shared<const TopicView>(std::move(topic));
  view_.topics_[shared->name] = shared;
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::remove_topic(const TopicName& name) {
  view_.topics_.erase(name);
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::clear_topics() {
  view_.topics_.clear();
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::brokers(std::map<BrokerId, BrokerView> brokers) {
  view_.brokers_ = std::move(brokers);
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::broker(BrokerView broker) {
  auto id = broker.id;
  view_.brokers_[id] = std::move(broker);
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::dynamic_settings(SettingMap of_all, SettingMap of_this_broker) {
  view_.dynamic_default_ = std::move(of_all);
  view_.dynamic_broker_ = std::move(of_this_broker);
  auto merged = laid_over(laid_over(view_.file_, view_.dynamic_default_), view_.dynamic_broker_);
  view_.broker_settings_ = std::make_shared<const SettingMap>(std::move(merged));
  // Topics take from these what they do not override.
  for (auto& [name, shared] : view_.topics_) {
    auto topic = *shared;
    topic.settings = resolve_topic_settings(topic.overrides, *view_.broker_settings_);
    shared = std::make_shared<const TopicView>(std::move(topic));
  }
  return *this;
}

ClusterViewBuilder& ClusterViewBuilder::cluster_id(std::string id) {
  view_.cluster_id_ = std::move(id);
  return *this;
}
ClusterViewBuilder& ClusterViewBuilder::controller(BrokerId id) {
  view_.controller_ = id;
  return *this;
}
ClusterViewBuilder& ClusterViewBuilder::change(std::int64_t change) {
  view_.change_ = change;
  return *this;
}

ClusterViewPtr ClusterViewBuilder::build() && {
  view_.by_id_.clear();
  for (const auto& [name, topic] : view_.topics_) view_.by_id_[topic->id] = topic.get();
  return std::make_shared<const ClusterView>(std::move(view_));
}

}  // namespace forelog::cluster
