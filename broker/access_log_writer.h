// access_log_writer.h: appends what one core's AccessFeed holds to the topic __access_log. One a core.
//
// Runs a few times a second, and never in the way of a read: what cannot be appended is dropped and counted.
// A topic that somebody has deleted is made anew.
#pragma once

#include "broker/api/services.h"
#include "broker/base/metrics.h"
#include "broker/env/task_group.h"
#include "broker/prefetch/access_feed.h"

namespace forelog {

class AccessLogWriter {
 public:
  AccessLogWriter(api::Services& services, prefetch::AccessFeed& feed, MetricsRegistry& metrics);

  void start();
  Task<void> stop();  // writes what is there

 private:
  static Task<void> run(AccessLogWriter& self);
  Task<void> write_all();
  Task<void> write(std::vector<prefetch::AccessLogEntry> entries);
  Task<void> make_topic();

  api::Services& services_;
  prefetch::AccessFeed& feed_;
  Counter written_, dropped_;
  Event stop_wanted_;
  Instant make_topic_at_{};  // not before
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog
