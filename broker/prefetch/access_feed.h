// access_feed.h: what was read, by whom, and what became of what was prefetched, on its way to the access-log topic.
//
// One per core, used on that core. A bounded ring: adding never waits and never fails; when full, events are dropped
// and counted, and the gap in `sequence` tells the reader of the log how many. Events about topics whose name is
// excluded never enter. The broker's publishing loop calls `drain` and appends the batch; nothing here does I/O.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/clock.h"
#include "broker/prefetch/hint.h"
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
  std::string hash_key;  // of this cluster; used when identities are hashed
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
  AccessFeed(const env::Clock& clock, MetricsRegistry& registry, FeedIdentity identity,
             const AccessLogSettings& settings);

  void add(const ReaderEvent& event);
  // Reads at the log's end (nothing came through the cache) are summed up and logged once a second and reader.
  void add(ReaderId reader, const AccessEvent& event);
  void add(const GroupEvent& event);
  void add(const OutcomeEvent& event);

  // At most `entries_max` of what waits, oldest first; sums of tail reads that are a second old go out with it.
  std::vector<AccessLogEntry> drain(std::size_t entries_max = 4096);
  // Flushes the sums of a reader that is no more.
  void close(ReaderId reader);

  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct TailSum {
    AccessEvent event;  // the newest, with bytes and waits of all
    ClientPtr client;
    std::int32_t fetches = 0;
    Instant since;
  };
  bool admit();
  void push(std::string key, thrift::AccessLogBody body);
  void flush(TailSum sum, ReaderId reader);
  std::string identity(const std::string& plain) const;

  const env::Clock& clock_;
  FeedIdentity who_;
  AccessLogSettings settings_;
  std::deque<AccessLogEntry> waiting_;
  std::unordered_map<ReaderId, TailSum> tails_;
  std::deque<std::pair<Instant, ReaderId>> tails_due_;
  std::int64_t sequence_ = 0;
  AccessFeedMetrics metrics_;
};

}  // namespace forelog::prefetch
