// bounded_store.h: an object store whose calls end in time, whatever the store behind it does. One per core.
//
// A store may forget a deadline: a network file system that hangs keeps a thread until it comes back. A call that is
// overdue is left alone: its caller gets Timeout, and what it still brings is dropped. After `stop` every call ends
// within the grace given, with Stopping, so that a broker stops while its archive does not answer. Nothing is lost by
// that: an object is written whole or not at all, and what writes one repeats it until the chain says that it is there.
//
// Calls left alone are joined by nobody. They touch nothing but the store, which outlives the cores' tasks.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/cores.h"
#include "broker/env/object_store.h"

#include <list>
#include <string>

namespace forelog::archive {

class BoundedStore final : public env::ObjectStore {
 public:
  BoundedStore(env::Cores& cores, env::ObjectStore& store, MetricsRegistry& metrics);

  // From here on calls end after `grace` at the latest, and no new one begins.
  void stop(Duration grace);

  Task<Result<void>> put(std::string key, env::ObjectContent& content, Deadline deadline) override;
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, env::TrafficClass traffic,
                               Deadline deadline) override;
  Task<Result<env::ObjectInfo>> head(std::string key, Deadline deadline) override;
  Task<Result<void>> remove(std::string key, Deadline deadline) override;
  Task<Result<std::vector<env::ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                                  Deadline deadline) override;

 private:
  template <class T>
  Task<Result<T>> bounded(std::string what, Task<Result<T>> call, Deadline deadline);

  env::Cores& cores_;
  env::ObjectStore& store_;
  Counter left_alone_;
  Instant stop_at_ = kForever;
  bool stopping_ = false;
  std::list<Event*> waiting_;  // for a call to end; woken by `stop`, in the order they came
};

}  // namespace forelog::archive
