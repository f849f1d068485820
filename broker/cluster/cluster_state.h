// cluster_state.h: follows the metadata store and gives every core its ClusterView.
//
// The controller notes every change that it makes in one znode, /forelog/changes, in the same commit; so each broker
// waits on that one, on the list of brokers and on /controller, whatever the number of topics.
#pragma once

#include "broker/cluster/cluster_view.h"
#include "broker/env/env.h"
#include "broker/env/task_group.h"

#include <functional>
#include <memory>
#include <vector>

namespace forelog::cluster {

class ClusterState {
 public:
  // `broker_settings`: this broker's file, from which topics without an override of their own take values.
  ClusterState(env::Cores& cores, env::MetadataStore& metadata, BrokerId self, SettingMap broker_settings);
  ~ClusterState();  // after `stop`

  // Loads everything and publishes the first view on all cores; then follows. Called once, on core 0. Fails when the
  // store does not answer. A record that cannot be read is logged, and its topic left out.
  Task<Result<void>> start();
  Task<void> stop();  // on core 0; takes up to half a second

  // The calling core's view; never null after `start`.
  const ClusterViewPtr& view() const;

  // Calls `listener` on the calling core now, if there is a view, and after every change of it, in order, until stop.
  // The listener must not suspend; what it refers to outlives this object.
  using Listener = std::move_only_function<void(const ClusterViewPtr&)>;
  void on_change(Listener listener);

  // Resumes when the calling core's view has seen `change` (see ClusterView::change), or at the deadline: true, false.
  Task<bool> wait_for(std::int64_t change, Deadline deadline);

 private:
  struct PerCore;
  class Follower;
  void publish(ClusterViewPtr view);

  env::Cores& cores_;
  std::vector<std::unique_ptr<PerCore>> per_core_;  // each touched on its core only
  std::unique_ptr<Follower> follower_;              // core 0
};

}  // namespace forelog::cluster
