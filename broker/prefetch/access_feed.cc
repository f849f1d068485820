#include "broker/prefetch/access_feed.h"

#include "broker/prefetch/access_records.h"
#include "broker/prefetch/group_evidence.h"

#include <algorithm>

namespace forelog::prefetch {

namespace {

constexpr Duration kTailPeriod = 1s;
constexpr std::size_t kTailsMax = 65'536;

// A read at the log's end waits for data, if it waits; nothing can be prefetched for it.
bool is_tail_read(const AccessEvent& event) {
  bool waited_for_load = event.wait_cause != WaitCause::none && event.wait_cause != WaitCause::data;
  return event.bytes.total() == event.bytes.tail && !waited_for_load;
}

}  // namespace

AccessFeedMetrics::AccessFeedMetrics(MetricsRegistry& registry)
    : recorded(registry, "forelog_access_log_recorded_total", "Events recorded for the access log."),
      dropped(registry, "forelog_access_log_dropped_total", "Events dropped because the access log did not keep up."),
      waiting(registry, "forelog_access_log_waiting", "Events that wait to be written to the access log.") {}

AccessFeed::AccessFeed(const env::Clock& clock, MetricsRegistry& registry, const FeedIdentity& identity,
                       const AccessLogSettings& settings)
    : clock_(clock),
      who_(identity),
      settings_(settings),
      mask_(settings.identities, identity.hash_key),
      metrics_(registry) {}

bool AccessFeed::is_excluded(const PartitionKey& partition, std::string_view topic) {
  if (topic == kAccessLogTopic) excluded_ = partition.topic;
  return !excluded_.is_zero() && partition.topic == excluded_;
}

std::string AccessFeed::key_of(const ClientPtr& client) const {
  if (!client) return {};
  return mask_.name(client->principal) + '/' + mask_.name(client_stem(client->client_id));
}

void AccessFeed::add(const ReaderEvent& event) {
  if (!settings_.enable || is_excluded(event.partition, event.topic) || !admit()) return;
  push(key_of(event.client), to_record(event, mask_));
}

void AccessFeed::add(ReaderId reader, const AccessEvent& event) {
  if (!settings_.enable || is_excluded(event.partition, event.topic)) return;
  if (!is_tail_read(event)) {
    close(reader);  // so that sums stand before what came after them
    return push(reader, event, 1);
  }
  auto known = tails_.find(reader);
  if (known == tails_.end()) {
    if (tails_.size() >= kTailsMax) return push(reader, event, 1);
    auto& sum = tails_[reader];
    sum = {event, 1, clock_.now()};
    sum.event.topic = {};  // its text may be gone by the time the sum goes out
    tails_due_.emplace_back(sum.since + kTailPeriod, reader);
    return;
  }
  auto& sum = known->second.event;
  auto asked = sum.asked, first = sum.first == kNoOffset ? event.first : sum.first;
  auto first_timestamp = sum.first == kNoOffset ? event.first_timestamp : sum.first_timestamp;
  auto last = event.last == kNoOffset ? sum.last : event.last;
  auto last_timestamp = event.last == kNoOffset ? sum.last_timestamp : event.last_timestamp;
  auto tail_bytes = sum.bytes.tail + event.bytes.tail;
  auto wait = sum.wait + event.wait;
  sum = event;
  sum.topic = {};
  sum.asked = asked;
  sum.first = first, sum.first_timestamp = first_timestamp;
  sum.last = last, sum.last_timestamp = last_timestamp;
  sum.bytes.tail = tail_bytes;
  sum.wait = wait;
  ++known->second.fetches;
}

void AccessFeed::add(const GroupEvent& event) {
  if (!settings_.enable) return;
  // What would name nothing but the access log itself: its readers' commits must not feed them.
  bool about_offsets = event.kind == GroupEventKind::commit || event.kind == GroupEventKind::offset_fetch ||
                       event.kind == GroupEventKind::reset || event.kind == GroupEventKind::list_offsets;
  if (about_offsets && event.offsets.empty()) return;
  auto is_ours = [this](const GroupOffset& named) { return is_excluded(named.partition, {}); };
  if (std::ranges::none_of(event.offsets, is_ours)) {
    if (admit()) push(key_of(event.client), to_record(event, mask_));
    return;
  }
  GroupEvent others = event;
  std::erase_if(others.offsets, is_ours);
  if (!others.offsets.empty() && admit()) push(key_of(event.client), to_record(others, mask_));
}

void AccessFeed::add(const OutcomeEvent& event) {
  if (!settings_.enable || is_excluded(event.extent.shard.partition, {}) || !admit()) return;
  push(event.extent.shard.partition.text(), to_record(event));
}

void AccessFeed::close(ReaderId reader) {
  auto known = tails_.find(reader);
  if (known == tails_.end()) return;
  auto sum = std::move(known->second);
  tails_.erase(known);
  push(reader, sum.event, sum.fetches);
}

void AccessFeed::push(ReaderId reader, const AccessEvent& event, std::int32_t fetches) {
  if (admit()) push(key_of(event.client), to_record(reader, event, fetches));
}

// The number is used up whether or not there is room: whoever reads the log sees the gap.
bool AccessFeed::admit() {
  ++sequence_;
  bool room = waiting_.size() < static_cast<std::size_t>(settings_.events_max);
  if (!room) ++metrics_.dropped;
  return room;
}

void AccessFeed::push(std::string key, thrift::AccessLogBody body) {
  thrift::AccessLogRecord record;
  auto& header = record.header;
  header.broker_id = who_.broker.value();
  header.hint_endpoint = who_.hint_endpoint;
  header.boot_id = who_.boot_id;
  header.core = who_.core.value();
  header.sequence = sequence_;
  header.monotonic_us = to_us(clock_.now().time_since_epoch());
  auto wall = clock_.wall();
  header.wall_ms = to_ms(wall);
  header.format_version = kAccessLogFormat;
  record.body = std::move(body);
  waiting_.push_back({std::move(key), encode(record), wall});
  ++metrics_.recorded;
  metrics_.waiting.set(static_cast<std::int64_t>(waiting_.size()));
}

std::vector<AccessLogEntry> AccessFeed::drain(std::size_t entries_max) {
  auto now = clock_.now();
  while (!tails_due_.empty() && tails_due_.front().first <= now) {
    auto [due, reader] = tails_due_.front();
    tails_due_.pop_front();
    auto known = tails_.find(reader);
    bool is_this_sum = known != tails_.end() && known->second.since + kTailPeriod == due;
    if (is_this_sum) close(reader);
  }
  auto count = std::min(entries_max, waiting_.size());
  std::vector<AccessLogEntry> out;
  out.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  metrics_.waiting.set(static_cast<std::int64_t>(waiting_.size()));
  return out;
}

}  // namespace forelog::prefetch
