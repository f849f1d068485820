// controller_impl.h: the controller's tasks and operations; all of it lives on core 0.
#pragma once

#include "broker/cluster/controller.h"
#include "broker/cluster/topic_writer.h"
#include "broker/cluster/turns.h"
#include "broker/env/task_group.h"

namespace forelog::cluster {

class Controller::Impl {
 public:
  Impl(env::Env& env, ClusterState& state, BrokerId self, const SettingsCatalog& catalog);

  Task<Result<void>> start();
  Task<void> stop();
  bool elected() const { return writer_.elected(); }

  Task<Result<CreatedTopic>> create_topic(NewTopic topic, bool validate_only, Deadline deadline);
  Task<Result<void>> delete_topic(TopicName name, std::optional<TopicId> id, Deadline deadline);
  Task<Result<void>> create_partitions(TopicName name, std::int32_t count, std::vector<Replicas> assignment,
                                       bool validate_only, Deadline deadline);
  // The resource's settings become what `change` makes of them.
  using Change = std::function<Result<SettingMap>(SettingMap)>;
  Task<Result<void>> change_configs(ConfigResource resource, Change change, bool validate_only, Deadline deadline);
  Task<Result<ProducerIdBlock>> allocate_producer_ids(Deadline deadline);

  Result<SettingMap> check_replacement(const ConfigResource& resource, SettingMap configs) const;

  env::Cores& cores() const { return env_.cores; }
  ClusterState& state() const { return state_; }
  const SettingsCatalog& catalog() const { return catalog_; }
  BrokerId self() const { return self_; }

 private:
  // One kind of change that others make below `path`; `react` looks at all of it, so it may be repeated at will.
  using React = Task<Result<void>> (Impl::*)();
  Task<void> election();
  Task<void> follow(std::string path, React react, Duration again_after);
  Task<Result<void>> react_to_topics();
  Task<Result<void>> react_to_deletions();
  Task<Result<void>> react_to_configs();
  Task<Result<void>> react_to_brokers();

  // A turn, as the controller; else RequestTimedOut or NotController.
  Task<Result<Turns::Turn>> turn(Deadline deadline);
  Task<Result<void>> wait_until_seen(std::int64_t change, Deadline deadline);
  ServiceSettings service_settings() const;

  env::Env& env_;
  ClusterState& state_;
  BrokerId self_;
  const SettingsCatalog& catalog_;
  FencedWriter writer_;
  TopicWriter topics_;
  Turns turns_;
  TaskGroup tasks_;
  Event stopped_;
  bool stopping_ = false;
};

}  // namespace forelog::cluster
