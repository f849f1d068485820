// s3_watch.h: says in the log once whether the archive in S3 can be used, and clears away uploads that a crash left,
// once the archive is claimed.
//
// Lives on core 0. Asks until the archive answers, with growing pauses; nothing waits for it.
#pragma once

#include "broker/env/real/s3_object_store.h"

#include <memory>
#include <string>

namespace forelog::env {

class S3Watch {
 public:
  S3Watch(Cores& cores, S3ObjectStore& store, std::string uploads_prefix, Duration stale_after);

  // From core 0.
  Task<void> start();
  Task<void> stop();

 private:
  Task<void> watch();
  Task<void> sleep(Duration time);
  Task<void> clear();

  Cores& cores_;
  S3ObjectStore& store_;
  std::string uploads_prefix_;
  Duration stale_after_;
  bool stopping_ = false;
  std::optional<Event> stopped_;
  std::optional<TaskGroup> tasks_;
};

}  // namespace forelog::env
