#include "broker/env/real/s3_metrics.h"

#include "broker/base/check.h"

#include <vector>

namespace forelog::env {

struct S3Metrics::Kind {
  Kind(MetricsRegistry& registry, const std::string& kind)
      : retries(registry, "forelog_s3_retries_total", "Requests to S3 sent again after a failure.",
                "kind=\"" + kind + "\""),
        seconds(registry, "forelog_s3_request_seconds", "How long requests to S3 took, without retries.",
                "kind=\"" + kind + "\"") {
    for (auto outcome : s3::enum_names(s3::Outcome{})) {
      requests.push_back(std::make_unique<Counter>(registry, "forelog_s3_requests_total",
                                                   "Requests to S3, by how they ended.",
                                                   "kind=\"" + kind + "\",outcome=\"" + std::string(outcome) + "\""));
    }
  }
  std::vector<std::unique_ptr<Counter>> requests;  // by Outcome
  Counter retries;
  Histogram seconds;
};

S3Metrics::S3Metrics()
    : sent_(registry_, "forelog_s3_sent_bytes_total", "Bytes of objects sent to S3."),
      received_(registry_, "forelog_s3_received_bytes_total", "Bytes of objects that came from S3.") {
  for (auto kind : kKinds) kinds_.emplace(kind, std::make_unique<Kind>(registry_, std::string(kind)));
}

S3Metrics::~S3Metrics() = default;

S3Metrics::Kind& S3Metrics::find(std::string_view kind) {
  auto at = kinds_.find(kind);
  CHECK(at != kinds_.end());
  return *at->second;
}

void S3Metrics::note_request(std::string_view kind, s3::Outcome outcome, Duration took, Bytes sent, Bytes received) {
  std::lock_guard lock(mutex_);
  auto& counts = find(kind);
  ++*counts.requests[static_cast<std::size_t>(outcome)];
  counts.seconds.record(took);
  sent_.add(sent);
  received_.add(received);
}

void S3Metrics::note_retry(std::string_view kind) {
  std::lock_guard lock(mutex_);
  ++find(kind).retries;
}

void S3Metrics::collect(MetricsSnapshot& into, const Now& now) const {
  {
    std::lock_guard lock(mutex_);
    registry_.collect(into);
  }
  MetricsRegistry moment;
  Gauge in_flight(moment, "forelog_s3_requests_in_flight", "Requests to S3 under way.");
  Gauge waiting(moment, "forelog_s3_requests_waiting", "Requests to S3 that wait for one of archive.s3.requests.max.");
  Counter opened(moment, "forelog_s3_connections_opened_total", "Connections to S3 opened; the others are used again.");
  in_flight.set(now.in_flight);
  waiting.set(now.waiting);
  opened.add(now.connections_opened);
  moment.collect(into);
}

}  // namespace forelog::env
