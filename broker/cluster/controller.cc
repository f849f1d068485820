// What the controller does when asked.
#include "broker/cluster/controller.h"

#include "broker/base/log.h"
#include "broker/cluster/controller_impl.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/topic_rules.h"

namespace forelog::cluster {

using env::MetadataOp;
using Kind = ConfigResource::Kind;

namespace {

inline constexpr std::int64_t kProducerIdsPerBlock = 1000;  // Kafka's
inline constexpr Duration kProducerIdsRetry = 100ms;

std::unexpected<Error> timed_out(std::string doing) { return fail(ErrorCode::kRequestTimedOut, std::move(doing)); }
std::unexpected<Error> unknown(const TopicName& name) {
  return fail(ErrorCode::kUnknownTopicOrPartition, "The topic '" + name.value() + "' does not exist.");
}

// Errors of the store as a client may be told them: it may try again.
template <class T>
Result<T> for_client(Result<T> result) {
  if (result) return result;
  switch (result.error().code) {
    case ErrorCode::kConflict:
    case ErrorCode::kUnavailable:
    case ErrorCode::kTimeout:
      return timed_out(result.error().context);
    default:
      return result;
  }
}

}  // namespace

Controller::Impl::Impl(env::Env& env, ClusterState& state, BrokerId self, const SettingsCatalog& catalog)
    : env_(env),
      state_(state),
      self_(self),
      catalog_(catalog),
      writer_(env.metadata, env.clock, self),
      topics_(env, writer_, state),
      turns_(env.clock),
      tasks_(env.cores),
      stopped_(env.clock) {}

Task<Result<Turns::Turn>> Controller::Impl::turn(Deadline deadline) {
  auto held = co_await turns_.take(deadline);
  if (!held) co_return timed_out("waiting for other changes");
  if (stopping_) co_return fail(ErrorCode::kNotController, "this broker is stopping");
  if (!elected()) co_return fail(ErrorCode::kNotController, "This is not the correct controller for this cluster.");
  co_return *std::move(held);
}

Task<Result<void>> Controller::Impl::wait_until_seen(std::int64_t change, Deadline deadline) {
  if (co_await state_.wait_for(change, deadline)) co_return Result<void>{};
  co_return timed_out("the change is made, but not yet seen by this broker");
}

ServiceSettings Controller::Impl::service_settings() const {
  // The file was checked at start, and so was each change since.
  return read_settings<ServiceSettings>(state_.view()->broker_settings()).value_or(ServiceSettings{});
}

Task<Result<CreatedTopic>> Controller::Impl::create_topic(NewTopic topic, bool validate_only, Deadline deadline) {
  auto held = CO_TRY(co_await turn(deadline));
  auto view = state_.view();
  TopicRecord record;
  record.partitions = CO_TRY(plan_topic(topic, *view, service_settings(), env_.random.next()));
  auto checked = catalog_.check_topic(topic.configs);
  if (!checked) co_return fail(ErrorCode::kInvalidConfig, checked.error().context);
  auto configs = topic.configs;
  add_archive_default(configs, view->broker_settings());
  CO_TRY(check_topic_settings(configs, view->broker_settings()));

  CreatedTopic created;
  created.partitions = static_cast<std::int32_t>(record.partitions.size());
  created.replication_factor = static_cast<std::int16_t>(record.partitions.begin()->second.size());
  created.configs = configs;
  if (validate_only) co_return created;
  created.id = env_.random.topic_id();
  record.topic_id = created.id;
  auto change = CO_TRY(for_client(co_await topics_.create(topic.name, std::move(record), std::move(configs))));
  log_line(info, "topic_created", {{"topic", topic.name}, {"id", created.id}, {"partitions", created.partitions}});
  CO_TRY(co_await wait_until_seen(change, deadline));
  co_return created;
}

Task<Result<void>> Controller::Impl::delete_topic(TopicName name, std::optional<TopicId> id, Deadline deadline) {
  auto held = CO_TRY(co_await turn(deadline));
  auto view = state_.view();
  const auto* known = view->topic(name);
  if (id && (known == nullptr || known->id != *id)) {
    co_return fail(ErrorCode::kUnknownTopicId, "there is no topic of this id any more");
  }
  if (known == nullptr) co_return unknown(name);
  if (!service_settings().delete_topics) {
    co_return fail(ErrorCode::kPolicyViolation, "Topic deletion is disabled.");
  }
  auto change = CO_TRY(for_client(co_await topics_.remove(name, deadline)));
  co_return co_await wait_until_seen(change, deadline);
}

Task<Result<void>> Controller::Impl::create_partitions(TopicName name, std::int32_t count,
                                                       std::vector<Replicas> assignment, bool validate_only,
                                                       Deadline deadline) {
  auto held = CO_TRY(co_await turn(deadline));
  auto view = state_.view();
  const auto* known = view->topic(name);
  if (known == nullptr || known->deleting) co_return unknown(name);
  auto stored = CO_TRY(for_client(co_await read_record<TopicRecord>(env_.metadata, paths::topic(name))));
  if (!stored) co_return unknown(name);
  auto& record = stored->record;
  auto added = CO_TRY(plan_partitions(record.partitions, count, assignment, *view, env_.random.next()));
  if (validate_only) co_return Result<void>{};
  record.partitions.insert(added.begin(), added.end());
  if (!record.topic_id) record.topic_id = known->id;
  std::vector<MetadataOp> ops{MetadataOp::set(paths::topic(name), to_json(record), stored->version)};
  CO_TRY(for_client(co_await writer_.commit(std::move(ops), {})));
  auto change = CO_TRY(for_client(co_await topics_.complete(name)));
  co_return co_await wait_until_seen(change, deadline);
}

Result<SettingMap> Controller::Impl::check_replacement(const ConfigResource& resource, SettingMap configs) const {
  std::vector<ConfigChange> changes;
  for (const auto& [name, value] : configs) changes.push_back({ConfigOp::set, name, value});
  return changed_configs({}, changes, catalog_, state_.view()->broker_settings(), resource.kind);
}

Task<Result<void>> Controller::Impl::change_configs(ConfigResource resource, Change change, bool validate_only,
                                                    Deadline deadline) {
  auto held = CO_TRY(co_await turn(deadline));
  bool of_topic = resource.kind == Kind::topic;
  auto view = state_.view();
  TopicName name(resource.name);
  if (of_topic && view->topic(name) == nullptr) co_return unknown(name);
  auto path = paths::kBrokerDefaultConfig;
  if (of_topic)
    path = paths::topic_config(name);
  else if (!resource.name.empty())
    path = paths::kBrokerConfigs + "/" + resource.name;

  auto stored = CO_TRY(for_client(co_await read_record<ConfigRecord>(env_.metadata, path)));
  ConfigRecord record;
  record.config = CO_TRY(change(stored ? stored->record.config : SettingMap()));
  if (of_topic) CO_TRY(check_topic_settings(record.config, view->broker_settings()));
  if (validate_only) co_return Result<void>{};
  std::vector<MetadataOp> ops;
  if (stored)
    ops.push_back(MetadataOp::set(path, to_json(record), stored->version));
  else
    ops.push_back(MetadataOp::create(path, to_json(record)));
  std::vector<std::string> noted{of_topic ? resource.name : std::string()};
  auto number = CO_TRY(for_client(co_await writer_.commit(std::move(ops), std::move(noted))));
  co_return co_await wait_until_seen(number, deadline);
}

Task<Result<ProducerIdBlock>> Controller::Impl::allocate_producer_ids(Deadline deadline) {
  for (;;) {
    auto stored = CO_TRY(for_client(co_await read_record<ProducerIdBlockRecord>(env_.metadata, paths::kProducerIds)));
    if (!stored) co_return fail(ErrorCode::kCoordinatorNotAvailable, "the metadata tree is not made yet");
    ProducerIdBlockRecord next;
    next.broker = self_;
    next.block_start = stored->record.block_end + 1;
    next.block_end = next.block_start + kProducerIdsPerBlock - 1;
    std::vector<MetadataOp> ops{MetadataOp::set(paths::kProducerIds, to_json(next), stored->version)};
    auto done = co_await env_.metadata.commit(std::move(ops));
    if (done) co_return ProducerIdBlock{next.block_start, next.block_end};
    // Another broker was faster, or the outcome is not known: take the block after it.
    if (env_.clock.now() >= deadline || stopping_) co_return timed_out(done.error().context);
    // A store that takes nothing, as on a full disk, may not do so for long.
    if (done.error().code != ErrorCode::kConflict) co_await stopped_.wait(env_.clock.now() + kProducerIdsRetry);
  }
}

// --- hops ------------------------------------------------------------------------------------------------------------

Controller::Controller(env::Env& env, ClusterState& state, BrokerId self, const SettingsCatalog& catalog)
    : impl_(std::make_unique<Impl>(env, state, self, catalog)) {}
Controller::~Controller() = default;

namespace {

constexpr CoreId kHome{0};

// What core 0 answers. When it comes, this core's view shows the change, too: the view was posted here before.
template <class T>
Task<T> at_home(env::Cores& cores, Task<T> task) {
  return cores.on(kHome, std::move(task));
}

}  // namespace

Task<Result<void>> Controller::start() { co_return co_await impl_->start(); }
Task<void> Controller::stop() { co_await impl_->stop(); }
bool Controller::elected() const { return impl_->elected(); }

Task<Result<CreatedTopic>> Controller::create_topic(NewTopic topic, bool validate_only, Deadline deadline) {
  auto task = impl_->create_topic(std::move(topic), validate_only, deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

Task<Result<void>> Controller::delete_topic(TopicName name, std::optional<TopicId> id, Deadline deadline) {
  auto task = impl_->delete_topic(std::move(name), id, deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

Task<Result<void>> Controller::create_partitions(TopicName name, std::int32_t count,
                                                 std::vector<std::vector<BrokerId>> assignment, bool validate_only,
                                                 Deadline deadline) {
  auto task = impl_->create_partitions(std::move(name), count, std::move(assignment), validate_only, deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

Task<Result<void>> Controller::alter_configs(ConfigResource resource, std::vector<ConfigChange> changes,
                                             bool validate_only, Deadline deadline) {
  CO_TRY(check_resource(resource));
  Impl::Change change = [this, changes = std::move(changes), kind = resource.kind](SettingMap now) {
    return changed_configs(std::move(now), changes, impl_->catalog(), impl_->state().view()->broker_settings(), kind);
  };
  auto task = impl_->change_configs(std::move(resource), std::move(change), validate_only, deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

Task<Result<void>> Controller::replace_configs(ConfigResource resource, SettingMap configs, bool validate_only,
                                               Deadline deadline) {
  CO_TRY(check_resource(resource));
  Impl::Change change = [this, resource, configs = std::move(configs)](const SettingMap&) {
    return impl_->check_replacement(resource, configs);
  };
  auto task = impl_->change_configs(std::move(resource), std::move(change), validate_only, deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

Result<void> Controller::check_resource(const ConfigResource& resource) const {
  if (resource.kind == Kind::topic || resource.name.empty()) return {};
  auto id = detail::json_key_from<std::int32_t>(resource.name);
  if (!id) return fail(ErrorCode::kInvalidRequest, "Broker id must be an integer, but it is: " + resource.name);
  if (BrokerId(*id) == impl_->self()) return {};
  return fail(ErrorCode::kInvalidRequest, "Unexpected broker id, expected " + std::to_string(impl_->self().value()) +
                                              " or empty string, but received " + resource.name);
}

Task<Result<std::vector<SettingEntry>>> Controller::describe_configs(ConfigResource resource) {
  CO_TRY(check_resource(resource));
  auto view = impl_->state().view();
  const SettingMap none;
  if (resource.kind == Kind::topic) {
    const auto* topic = view->topic(TopicName(resource.name));
    if (topic == nullptr) co_return unknown(TopicName(resource.name));
    co_return impl_->catalog().describe_topic(
        {topic->overrides, view->dynamic_broker(), view->dynamic_default(), view->file_settings()});
  }
  if (!resource.name.empty()) {
    co_return impl_->catalog().describe_broker(
        {none, view->dynamic_broker(), view->dynamic_default(), view->file_settings()});
  }
  // Of all brokers: only what was set for all of them.
  auto entries = impl_->catalog().describe_broker({none, none, view->dynamic_default(), none});
  std::erase_if(entries, [](const SettingEntry& entry) { return entry.is_default; });
  co_return entries;
}

Task<Result<ProducerIdBlock>> Controller::allocate_producer_ids(Deadline deadline) {
  auto task = impl_->allocate_producer_ids(deadline);
  co_return co_await at_home(impl_->cores(), std::move(task));
}

}  // namespace forelog::cluster
