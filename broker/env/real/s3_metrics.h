// s3_metrics.h: what an archive in S3 was asked, and how it answered.
//
// Requests end on any core, and are few beside what a core counts; so one set for all, behind a lock.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/metrics.h"
#include "broker/env/s3/failures.h"

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace forelog::env {

// The kinds of requests: "get", "head", "list", "put", "part", "upload" (begin, complete or abort one in parts),
// "remove".
class S3Metrics {
 public:
  S3Metrics();
  ~S3Metrics();

  void note_request(std::string_view kind, s3::Outcome outcome, Duration took, Bytes sent, Bytes received);
  void note_retry(std::string_view kind);

  // What is true at this moment is added by the caller's gauges.
  struct Now {
    std::int64_t in_flight = 0;
    std::int64_t waiting = 0;
    std::int64_t connections_opened = 0;
  };
  void collect(MetricsSnapshot& into, const Now& now) const;

 private:
  struct Kind;
  static constexpr std::array<std::string_view, 7> kKinds = {"get", "head", "list", "put", "part", "upload", "remove"};
  Kind& find(std::string_view kind);

  mutable std::mutex mutex_;
  MetricsRegistry registry_;
  std::map<std::string, std::unique_ptr<Kind>, std::less<>> kinds_;
  Counter sent_, received_;
};

}  // namespace forelog::env
