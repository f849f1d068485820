#include "broker/cluster/topic_rules.h"

#include "broker/base/limits.h"
#include "broker/cluster/assignment.h"
#include "broker/log/topic_settings.h"

#include <algorithm>

namespace forelog::cluster {
namespace {

inline constexpr std::int32_t kPartitionsMax = 100'000;  // of a topic: its record has to fit into a znode

bool is_legal(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// Metrics replace '.' by '_', so two names that differ only there would be one.
std::string collapsed(std::string name) {
  std::ranges::replace(name, '.', '_');
  return name;
}

std::vector<Candidate> candidates(const ClusterView& view) {
  std::vector<Candidate> out;
  for (const auto& [id, broker] : view.brokers()) out.push_back({id, broker.rack});
  return out;
}
std::set<BrokerId> broker_ids(const ClusterView& view) {
  std::set<BrokerId> out;
  for (const auto& [id, broker] : view.brokers()) out.insert(id);
  return out;
}

Result<void> check_free(const TopicName& name, const ClusterView& view) {
  if (view.topic(name) != nullptr) {
    return fail(ErrorCode::kTopicAlreadyExists, "Topic '" + name.value() + "' already exists.");
  }
  auto key = collapsed(name.value());
  if (key == name.value() && !name.value().contains('_')) return {};
  for (const auto& [other, topic] : view.topics()) {
    if (collapsed(other.value()) == key) {
      return fail(ErrorCode::kInvalidTopic,
                  "Topic '" + name.value() + "' collides with existing topics: " + other.value());
    }
  }
  return {};
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    auto part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (!part.empty()) out.emplace_back(part);
  }
  return out;
}
std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) out += (out.empty() ? "" : ",") + part;
  return out;
}

}  // namespace

Result<void> check_topic_name(const TopicName& name) {
  auto refuse = [](std::string why) { return fail(ErrorCode::kInvalidTopic, "Topic name is invalid: " + why); };
  const auto& text = name.value();
  if (text.empty()) return refuse("the empty string is not allowed");
  if (text == "." || text == "..") return refuse("'" + text + "' is not allowed");
  if (text.size() > static_cast<std::size_t>(kTopicNameMax)) {
    return refuse("the length of '" + text.substr(0, 32) + "…' is longer than the max allowed length 249");
  }
  if (!std::ranges::all_of(text, is_legal)) {
    return refuse("'" + text + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'");
  }
  return {};
}

Result<std::map<PartitionId, Replicas>> plan_topic(const NewTopic& topic, const ClusterView& view,
                                                   const ServiceSettings& defaults, std::uint64_t start) {
  TRY(check_topic_name(topic.name));
  TRY(check_free(topic.name, view));
  if (!topic.assignment.empty()) {
    if (topic.partitions != -1 || topic.replication_factor != -1) {
      return fail(ErrorCode::kInvalidRequest,
                  "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at "
                  "the same time.");
    }
    TRY(check_assignment(topic.assignment, PartitionId(0), broker_ids(view)));
    return topic.assignment;
  }
  auto partitions = topic.partitions == -1 ? defaults.num_partitions : topic.partitions;
  if (partitions <= 0) return fail(ErrorCode::kInvalidPartitions, "Number of partitions must be larger than 0.");
  if (partitions > kPartitionsMax) {
    return fail(ErrorCode::kInvalidPartitions, "Number of partitions must not be larger than 100000.");
  }
  auto factor = topic.replication_factor == -1 ? defaults.default_replication_factor : topic.replication_factor;
  return assign_replicas(candidates(view), PartitionId(0), partitions, factor, start);
}

Result<std::map<PartitionId, Replicas>> plan_partitions(const std::map<PartitionId, Replicas>& existing,
                                                        std::int32_t count,
                                                        const std::vector<std::vector<BrokerId>>& given,
                                                        const ClusterView& view, std::uint64_t start) {
  auto present = static_cast<std::int32_t>(existing.size());
  auto refuse = [](std::string why) { return fail(ErrorCode::kInvalidPartitions, std::move(why)); };
  if (count < present) {
    return refuse("Topic currently has " + std::to_string(present) +
                  " partitions, which is higher than the requested " + std::to_string(count) + ".");
  }
  if (count == present) return refuse("Topic already has " + std::to_string(present) + " partitions.");
  if (count > kPartitionsMax) return refuse("Number of partitions must not be larger than 100000.");
  auto added = count - present;
  auto factor = existing.empty() ? std::size_t{1} : existing.begin()->second.size();
  if (given.empty()) {
    return assign_replicas(candidates(view), PartitionId(present), added, static_cast<std::int32_t>(factor), start);
  }
  if (given.size() != static_cast<std::size_t>(added)) {
    return fail(ErrorCode::kInvalidReplicaAssignment, "Increasing the number of partitions by " +
                                                          std::to_string(added) + " but " +
                                                          std::to_string(given.size()) + " assignments provided.");
  }
  std::map<PartitionId, Replicas> out;
  for (const auto& replicas : given)
    out.emplace(PartitionId(present + static_cast<std::int32_t>(out.size())), replicas);
  TRY(check_assignment(out, PartitionId(present), broker_ids(view)));
  if (out.begin()->second.size() != factor) {
    return fail(ErrorCode::kInvalidReplicaAssignment,
                "Existing partitions have " + std::to_string(factor) + " replicas; new ones must have as many.");
  }
  return out;
}

Result<SettingMap> changed_configs(SettingMap overrides, const std::vector<ConfigChange>& changes,
                                   const SettingsCatalog& catalog, const SettingMap& broker,
                                   ConfigResource::Kind kind) {
  bool of_topic = kind == ConfigResource::Kind::topic;
  std::set<std::string> seen;
  for (const auto& change : changes) {
    if (!seen.insert(change.name).second) {
      return fail(ErrorCode::kInvalidRequest, "Error due to duplicate config keys : " + change.name);
    }
    bool of_list = change.op == ConfigOp::append || change.op == ConfigOp::subtract;
    if (of_list && !catalog.is_list(change.name, of_topic)) {
      return fail(ErrorCode::kInvalidConfig, "Config value append is not allowed for config key: " + change.name);
    }
    if (change.op == ConfigOp::remove) {
      overrides.erase(change.name);  // also one that is unknown: that is how it is got rid of
      continue;
    }
    auto value = change.value;
    if (of_list) {
      auto list = split(catalog.value_of(change.name, overrides, broker, of_topic).value_or(""));
      for (const auto& entry : split(change.value)) {
        std::erase(list, entry);
        if (change.op == ConfigOp::append) list.push_back(entry);
      }
      value = join(list);
    }
    SettingMap one{{change.name, value}};
    auto checked = of_topic ? catalog.check_topic(one) : catalog.check_broker(one);
    if (!checked) return fail(ErrorCode::kInvalidConfig, checked.error().context);
    if (!of_topic && !catalog.is_dynamic(change.name)) {
      return fail(ErrorCode::kInvalidRequest, "Cannot update these configs dynamically: Set(" + change.name + ")");
    }
    overrides[change.name] = value;
  }
  return overrides;
}

Result<void> check_topic_settings(const SettingMap& overrides, const SettingMap& broker) {
  auto settings = resolve_topic_settings(overrides, broker);
  auto refuse = [](std::string why) { return fail(ErrorCode::kInvalidConfig, std::move(why)); };
  if (settings->remote_storage && settings->compacts()) {
    return refuse("Remote log storage is unsupported for the compacted topics");
  }
  if (settings->max_compaction_lag < settings->min_compaction_lag) {
    return refuse("max.compaction.lag.ms must be at least min.compaction.lag.ms");
  }
  bool limited = settings->retention >= Duration::zero();
  if (settings->local_retention != -2ms && limited &&
      (settings->local_retention < Duration::zero() || settings->local_retention > settings->retention)) {
    return refuse("local.retention.ms must not be longer than retention.ms");
  }
  if (settings->local_retention_bytes != -2 && settings->retention_bytes >= 0 &&
      (settings->local_retention_bytes < 0 || settings->local_retention_bytes > settings->retention_bytes)) {
    return refuse("local.retention.bytes must not be larger than retention.bytes");
  }
  return {};
}

void add_archive_default(SettingMap& overrides, const SettingMap& broker) {
  auto url = broker.find("archive.url");
  if (url == broker.end() || url->second.empty() || overrides.contains("remote.storage.enable")) return;
  if (!resolve_topic_settings(overrides, broker)->compacts()) overrides["remote.storage.enable"] = "true";
}

}  // namespace forelog::cluster
