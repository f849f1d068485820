// session.h: this broker's place in the cluster: its registration, and the cluster's id.
#pragma once

#include "broker/cluster/cluster_view.h"
#include "broker/env/env.h"
#include "broker/env/task_group.h"

#include <string>

namespace forelog::cluster {

class Session {
 public:
  // `self` is what others shall know of this broker: its id, rack, advertised listeners, hint endpoint.
  Session(env::Env& env, BrokerView self);
  ~Session();  // after `stop`

  // Makes the tree that every cluster has, and the cluster's id if it has none yet. On core 0, before anything else.
  Task<Result<void>> prepare();
  // Registers this broker, and again whenever its registration is lost. A registration left by an earlier run goes when
  // that run's session has timed out: waited for until `deadline`, then AlreadyExists.
  Task<Result<void>> start(Deadline deadline);
  Task<void> stop();  // takes the registration back

 private:
  Task<Result<void>> register_once();
  Task<void> keep_registered();

  env::Env& env_;
  BrokerView self_;
  TaskGroup tasks_;
  Event stopped_;
  bool stopping_ = false;
  bool registered_ = false;
};

}  // namespace forelog::cluster
