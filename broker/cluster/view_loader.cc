#include "broker/cluster/view_loader.h"

#include "broker/base/log.h"
#include "broker/cluster/broker_settings.h"
#include "broker/cluster/gather.h"

namespace forelog::cluster {
namespace {

void log_unreadable(const Error& error) { log_line(warn, "record_unreadable", {{"why", error.context}}); }

// Scripts may leave anything in the tree; what cannot be read counts as absent.
template <class Record>
Task<Result<std::optional<Versioned<Record>>>> read_leniently(env::MetadataStore& store, std::string path) {
  auto record = co_await read_record<Record>(store, std::move(path));
  if (record || record.error().code != ErrorCode::kCorruptFile) co_return record;
  log_unreadable(record.error());
  co_return std::optional<Versioned<Record>>();
}

}  // namespace

BrokerView view_of(BrokerId id, const BrokerRecord& record) {
  BrokerView view;
  view.id = id;
  view.rack = record.rack;
  view.hint_endpoint = record.forelog_hints.value_or("");
  std::string protocol_map;
  for (const auto& [name, protocol] : record.listener_security_protocol_map) {
    protocol_map += (protocol_map.empty() ? "" : ",") + name + ":" + protocol;
  }
  auto listeners = parse_listeners(record.endpoints, protocol_map);
  if (!listeners) {
    log_unreadable(listeners.error());
    return view;
  }
  for (auto& spec : *listeners) {
    auto port = static_cast<std::uint16_t>(spec.port);
    view.listeners.push_back({spec.name, spec.protocol, {spec.host, port}});
  }
  return view;
}

Task<Result<std::map<BrokerId, BrokerView>>> load_brokers(env::MetadataStore& store) {
  auto names = CO_TRY(co_await children_or_none(store, paths::kBrokerIds));
  std::map<BrokerId, BrokerView> out;
  for (const auto& name : names) {
    auto id = detail::json_key_from<BrokerId>(name);
    if (!id) continue;
    auto record = CO_TRY(co_await read_leniently<BrokerRecord>(store, paths::broker(*id)));
    if (record) out[*id] = view_of(*id, record->record);
  }
  co_return out;
}

Task<Result<SettingMap>> load_configs(env::MetadataStore& store, std::string path) {
  auto record = CO_TRY(co_await read_leniently<ConfigRecord>(store, std::move(path)));
  if (!record) co_return SettingMap();
  co_return std::move(record->record.config);
}

Task<Result<std::optional<TopicView>>> load_topic(env::MetadataStore& store, env::Cores& cores, TopicName name,
                                                  std::optional<TopicId> known) {
  auto assigned = CO_TRY(co_await read_leniently<TopicRecord>(store, paths::topic(name)));
  if (!assigned) co_return std::optional<TopicView>();
  auto id_now = assigned->record.topic_id ? assigned->record.topic_id : known;
  if (!id_now) co_return std::optional<TopicView>();
  TopicView topic;
  topic.name = name;
  topic.id = *id_now;
  topic.overrides = CO_TRY(co_await load_configs(store, paths::topic_config(name)));
  auto mark = co_await store.get(paths::delete_topic(name));
  if (!mark && mark.error().code != ErrorCode::kNotFound) co_return fail(std::move(mark).error());
  topic.deleting = mark.has_value();
  for (const auto& [id, replicas] : assigned->record.partitions) {
    // A gap cannot come from us, and would shift every partition behind it.
    if (id != PartitionId(static_cast<std::int32_t>(topic.partitions.size()))) {
      log_line(warn, "record_unreadable", {{"topic", name}, {"why", "its partitions are not numbered without gap"}});
      co_return std::optional<TopicView>();
    }
    PartitionView partition;
    partition.id = id;
    partition.replicas = replicas;
    topic.partitions.push_back(std::move(partition));
  }
  using State = Result<std::optional<Versioned<PartitionStateRecord>>>;
  std::function<Task<State>(std::size_t)> read = [&store, &name](std::size_t i) {
    return read_leniently<PartitionStateRecord>(store, paths::state(name, PartitionId(static_cast<std::int32_t>(i))));
  };
  auto states = co_await gather<State>(cores, topic.partitions.size(), std::move(read));
  for (auto& partition : topic.partitions) {
    auto state = CO_TRY(std::move(states[static_cast<std::size_t>(partition.id.value())]));
    if (state) {
      partition.leader = state->record.leader;
      partition.leader_epoch = state->record.leader_epoch;
      partition.in_sync = state->record.isr;
      partition.controller_epoch = state->record.controller_epoch;
      partition.partition_epoch = state->version;
    }
  }
  co_return std::optional<TopicView>(std::move(topic));
}

}  // namespace forelog::cluster
