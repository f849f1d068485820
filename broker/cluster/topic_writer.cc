#include "broker/cluster/topic_writer.h"

#include "broker/base/log.h"
#include "broker/cluster/assignment.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/topic_rules.h"
#include "broker/log/topic_settings.h"

#include <iterator>

namespace forelog::cluster {

using env::MetadataOp;

// ZooKeeper takes requests of up to 1 MB; a state with its path is some 200 bytes.
inline constexpr std::size_t kOpsPerCommit = 1000;

TopicWriter::TopicWriter(env::Env& env, FencedWriter& writer, ClusterState& state)
    : store_(env.metadata), cores_(env.cores), random_(env.random), writer_(writer), state_(state) {}

Task<Result<std::int64_t>> TopicWriter::commit_in_parts(Ops ops, std::string noted) {
  auto from = ops.begin();
  while (ops.end() - from > static_cast<std::ptrdiff_t>(kOpsPerCommit)) {
    Ops part(std::make_move_iterator(from), std::make_move_iterator(from + kOpsPerCommit));
    CO_TRY(co_await writer_.commit(std::move(part), {}));
    from += kOpsPerCommit;
  }
  Ops rest(std::make_move_iterator(from), std::make_move_iterator(ops.end()));
  std::vector<std::string> topics{std::move(noted)};
  co_return co_await writer_.commit(std::move(rest), std::move(topics));
}

Task<Result<std::set<BrokerId>>> TopicWriter::live_brokers() {
  auto names = CO_TRY(co_await children_or_none(store_, paths::kBrokerIds));
  std::set<BrokerId> out;
  for (const auto& name : names) {
    if (auto id = detail::json_key_from<BrokerId>(name)) out.insert(*id);
  }
  co_return out;
}

void TopicWriter::add_state(Ops& ops, const TopicName& name, PartitionId id, const Replicas& replicas,
                            const std::set<BrokerId>& live) const {
  ops.push_back(MetadataOp::create(paths::state(name, id), to_json(first_state(replicas, live, writer_.epoch()))));
}

Task<Result<std::int64_t>> TopicWriter::create(TopicName name, TopicRecord record, SettingMap configs) {
  auto live = CO_TRY(co_await live_brokers());
  auto old_config = co_await store_.get(paths::topic_config(name));
  if (!old_config && old_config.error().code != ErrorCode::kNotFound) co_return fail(old_config.error());
  ConfigRecord config;
  config.config = std::move(configs);
  Ops ops;
  if (old_config)
    ops.push_back(MetadataOp::set(paths::topic_config(name), to_json(config), old_config->version));
  else
    ops.push_back(MetadataOp::create(paths::topic_config(name), to_json(config)));
  ops.push_back(MetadataOp::create(paths::topic(name), to_json(record)));
  ops.push_back(MetadataOp::create(paths::partitions(name), ""));
  for (const auto& [id, replicas] : record.partitions) {
    ops.push_back(MetadataOp::create(paths::partition(name, id), ""));
    add_state(ops, name, id, replicas, live);
  }
  auto done = co_await commit_in_parts(std::move(ops), name.value());
  if (done || done.error().code == ErrorCode::kNotController) co_return done;
  // It may have come through all the same, or in part; or somebody else made a topic of this name.
  auto stored = CO_TRY(co_await read_record<TopicRecord>(store_, paths::topic(name)));
  if (!stored) co_return done;
  if (stored->record.topic_id != record.topic_id) {
    co_return fail(ErrorCode::kTopicAlreadyExists, "Topic '" + name.value() + "' already exists.");
  }
  co_return co_await complete(name);
}

void TopicWriter::ignore(const TopicName& name, std::string_view why) {
  if (ignored_.insert(name).second) log_line(warn, "topic_ignored", {{"topic", name}, {"why", why}});
}

Task<Result<TopicWriter::Ops>> TopicWriter::missing_states(TopicName name,
                                                           const std::map<PartitionId, Replicas>& partitions) {
  auto live = CO_TRY(co_await live_brokers());
  Ops ops;
  auto root = co_await store_.get(paths::partitions(name));
  if (!root && root.error().code != ErrorCode::kNotFound) co_return fail(root.error());
  if (!root) ops.push_back(MetadataOp::create(paths::partitions(name), ""));
  auto names = CO_TRY(co_await children_or_none(store_, paths::partitions(name)));
  std::set<std::string> present(names.begin(), names.end());
  // Where the view shows a state there is one: only the removal of the whole topic takes it away.
  auto view = state_.view();
  for (const auto& [id, replicas] : partitions) {
    const auto* known = view->partition(name, id);
    if (known != nullptr && known->leader_epoch != kNoEpoch) continue;
    if (present.contains(std::to_string(id.value()))) {
      auto state = co_await store_.get(paths::state(name, id));
      if (state) continue;
      if (state.error().code != ErrorCode::kNotFound) co_return fail(state.error());
    } else {
      ops.push_back(MetadataOp::create(paths::partition(name, id), ""));
    }
    add_state(ops, name, id, replicas, live);
  }
  co_return ops;
}

Task<Result<std::int64_t>> TopicWriter::complete(TopicName name) {
  auto read = co_await read_record<TopicRecord>(store_, paths::topic(name));
  if (!read && read.error().code == ErrorCode::kCorruptFile) {
    ignore(name, read.error().context);
    co_return std::int64_t{0};
  }
  auto stored = CO_TRY(std::move(read));
  auto view = state_.view();
  const auto* known = view->topic(name);
  if (!stored) {
    if (known == nullptr) co_return std::int64_t{0};
    // Somebody removed the znodes; the view lets go of the topic.
    log_line(info, "topic_vanished", {{"topic", name}});
    co_return co_await writer_.commit({}, {name.value()});
  }
  auto mark = co_await store_.get(paths::delete_topic(name));
  if (mark) co_return std::int64_t{0};  // on its way out
  auto& record = stored->record;
  std::int32_t next_id = 0;
  for (const auto& [id, replicas] : record.partitions) {
    if (id.value() != next_id++ || replicas.empty()) {
      ignore(name, "a partition is missing or has no replica");
      co_return std::int64_t{0};
    }
  }
  if (auto legal = check_topic_name(name); !legal || record.partitions.empty()) {
    ignore(name, legal ? "no partitions" : legal.error().context);
    co_return std::int64_t{0};
  }

  Ops ops;
  if (!record.topic_id) {
    // Kafka's tools before 2.8 and CMAK drop the id when they rewrite a topic; it stays the same topic.
    record.topic_id = known != nullptr ? known->id : random_.topic_id();
    record.version = 3;
    ops.push_back(MetadataOp::set(paths::topic(name), to_json(record), stored->version));
  }
  if (known == nullptr) {
    auto config = co_await read_record<ConfigRecord>(store_, paths::topic_config(name));
    if (!config && config.error().code != ErrorCode::kCorruptFile) co_return fail(config.error());
    bool absent = config && !*config;
    ConfigRecord next = config && *config ? (*config)->record : ConfigRecord{};
    auto size = next.config.size();
    add_archive_default(next.config, view->broker_settings());
    if (absent)
      ops.push_back(MetadataOp::create(paths::topic_config(name), to_json(next)));
    else if (config && next.config.size() != size) {
      ops.push_back(MetadataOp::set(paths::topic_config(name), to_json(next), (*config)->version));
    }
  }
  auto states = CO_TRY(co_await missing_states(name, record.partitions));
  std::ranges::move(states, std::back_inserter(ops));
  bool shown =
      known != nullptr && known->id == *record.topic_id && known->partitions.size() == record.partitions.size();
  if (ops.empty() && shown) co_return std::int64_t{0};
  log_line(info, "topic_completed",
           {{"topic", name}, {"id", *record.topic_id}, {"partitions", record.partitions.size()}});
  co_return co_await commit_in_parts(std::move(ops), name.value());
}

Task<Result<std::int64_t>> TopicWriter::remove(TopicName name, Deadline deadline) {
  auto mark = co_await store_.get(paths::delete_topic(name));
  if (!mark && mark.error().code != ErrorCode::kNotFound) co_return fail(mark.error());
  auto view = state_.view();
  const auto* known = view->topic(name);
  if (!mark || (known != nullptr && !known->deleting)) {
    Ops ops;
    if (!mark) ops.push_back(MetadataOp::create(paths::delete_topic(name), ""));
    std::vector<std::string> topics{name.value()};
    auto marked = CO_TRY(co_await writer_.commit(std::move(ops), std::move(topics)));
    // Brokers stop serving it before its states go.
    (void)co_await state_.wait_for(marked, deadline);
  }
  Ops ops;
  for (const auto& root : {paths::topic(name), paths::topic_config(name)}) {
    auto exists = co_await store_.get(root);
    if (!exists && exists.error().code == ErrorCode::kNotFound) continue;
    if (!exists) co_return fail(exists.error());
    auto found = CO_TRY(co_await subtree(store_, cores_, root));
    for (auto& path : found) ops.push_back(MetadataOp::remove(std::move(path), -1));
  }
  ops.push_back(MetadataOp::remove(paths::delete_topic(name), -1));
  log_line(info, "topic_deleted", {{"topic", name}});
  co_return co_await commit_in_parts(std::move(ops), name.value());
}

Task<Result<void>> TopicWriter::elect_leaders(Deadline deadline) {
  // The view says which partitions are well. One that does not show yet that they lost their leader would leave them
  // without, for nothing else makes us look again.
  auto decided = CO_TRY(co_await writer_.last_change());
  if (!co_await state_.wait_for(decided, deadline)) {
    co_return fail(ErrorCode::kTimeout, "the view does not show change " + std::to_string(decided) + " yet");
  }
  auto live = CO_TRY(co_await live_brokers());
  auto view = state_.view();
  for (const auto& [name, topic] : view->topics()) {
    Ops ops;
    for (const auto& partition : topic->partitions) {
      if (live.contains(partition.leader) &&
          std::ranges::all_of(partition.in_sync, [&](BrokerId id) { return live.contains(id); })) {
        continue;
      }
      auto path = paths::state(name, partition.id);
      auto stored = CO_TRY(co_await read_record<PartitionStateRecord>(store_, path));
      if (!stored) continue;
      bool unclean = topic->settings->unclean_leader_election;
      auto next = next_state(stored->record, partition.replicas, live, unclean, writer_.epoch());
      if (!next) continue;
      log_line(info, "leader_elected",
               {{"topic", name}, {"partition", partition.id}, {"leader", next->leader}, {"epoch", next->leader_epoch}});
      ops.push_back(MetadataOp::set(std::move(path), to_json(*next), stored->version));
    }
    if (!ops.empty()) CO_TRY(co_await commit_in_parts(std::move(ops), name.value()));
  }
  co_return Result<void>{};
}

}  // namespace forelog::cluster
