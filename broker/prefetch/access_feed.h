// access_feed.h: what was read, by whom, and what became of what was prefetched, on its way to the access-log topic.
//
// One per core, used on that core. A bounded ring: adding never waits and never fails; when full, events are dropped
// and counted, and the gap in `sequence` tells the reader of the log how many. Events about topics whose name is
// excluded never enter. The broker's publishing loop calls `drain` and appends the batch; nothing here does I/O.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/clock.h"
#include "broker/prefetch/hint.h"
#include "broker/prefetch/identity_mask.h"
#include "broker/prefetch/settings.h"

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::thrift {
class AccessLogBody;
}

namespace forelog::prefetch {

inline constexpr std::string_view kAccessLogTopic = "__access_log";

// What stands in the header of every record of this boot.
struct FeedIdentity {
  BrokerId broker{0};
  std::string hint_endpoint;
  std::int64_t boot_id = 0;
  CoreId core{0};
  HashKey hash_key{};  // of this cluster; used when identities are hashed
};

// One record of the topic: `key` chooses the partition (principal and client.id stem), `value` is an AccessLogRecord.
struct AccessLogEntry {
  std::string key;
  std::string value;
  WallTime timestamp;
};

// Where entries go: the broker's side that appends to the internal topic. May refuse; then they are lost and counted.
class AccessLogSink {
 public:
  virtual ~AccessLogSink() = default;
  virtual void publish(std::vector<AccessLogEntry> entries) = 0;
};

struct AccessFeedMetrics {
  explicit AccessFeedMetrics(MetricsRegistry& registry);
  Counter recorded, dropped;
  Gauge waiting;
};

class AccessFeed {
 public:
  AccessFeed(const env::Clock& clock, MetricsRegistry& registry, const FeedIdentity& identity,
             const AccessLogSettings& settings);

  void add(const ReaderEvent& event);
  // Reads at the log's end are summed up and logged once a second and reader: bytes and waits added, the newest limits.
  void add(ReaderId reader, const AccessEvent& event);
  void add(const GroupEvent& event);
  void add(const OutcomeEvent& event);
  // The reader is no more: its sums go out.
  void close(ReaderId reader);
  // Nothing about this topic is recorded: the access log's own.
  void exclude(const TopicId& topic) { excluded_ = topic; }

  // At most `entries_max` of what waits, oldest first; sums of a second and older go out with it.
  std::vector<AccessLogEntry> drain(std::size_t entries_max = 4096);
  std::size_t waiting() const { return waiting_.size(); }
  // Entries that were drained and could not be published.
  void note_lost(std::size_t entries) { metrics_.dropped.add(static_cast<std::int64_t>(entries)); }

  CoreId core() const { return who_.core; }
  const IdentityMask& mask() const { return mask_; }
  const AccessFeedMetrics& metrics() const { return metrics_; }

 private:
  struct TailSum {
    AccessEvent event;
    std::int32_t fetches = 0;
    Instant since;
  };
  bool is_excluded(const PartitionKey& partition, std::string_view topic);
  bool admit();
  void push(std::string key, thrift::AccessLogBody body);
  void push(ReaderId reader, const AccessEvent& event, std::int32_t fetches);
  std::string key_of(const ClientPtr& client) const;

  const env::Clock& clock_;
  FeedIdentity who_;
  AccessLogSettings settings_;
  IdentityMask mask_;
  TopicId excluded_{};
  std::deque<AccessLogEntry> waiting_;
  std::unordered_map<ReaderId, TailSum> tails_;
  std::deque<std::pair<Instant, ReaderId>> tails_due_;  // by when their second is over
  std::int64_t sequence_ = 0;
  AccessFeedMetrics metrics_;
};

}  // namespace forelog::prefetch
