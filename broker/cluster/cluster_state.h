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
  ClusterState(env::Cores& cores, env::MetadataStore& metadata, SettingMap broker_settings);
  ~ClusterState();

  // Loads everything and publishes the first view on all cores; then follows. Called once, on core 0. Fails when the
  // store does not answer or a record of ours cannot be read.
  Task<Result<void>> start();
  Task<void> stop();  // on core 0

  // The calling core's view; never null after `start`.
  const ClusterViewPtr& view() const;

  // Calls `listener` on the calling core now, if there is a view, and after every change of it, in order, until stop.
  // The listener must not suspend; it outlives this object.
  using Listener = std::move_only_function<void(const ClusterViewPtr&)>;
  void on_change(Listener listener);

  // Resumes when this core's view has seen `change` (see ClusterView::change), or at the deadline: true, false.
  Task<bool> wait_for(std::int64_t change, Deadline deadline);

 private:
  struct PerCore;
  class Follower;
  env::Cores& cores_;
  std::vector<std::unique_ptr<PerCore>> per_core_;
  std::unique_ptr<Follower> follower_;
};

}  // namespace forelog::cluster
