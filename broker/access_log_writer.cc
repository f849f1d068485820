#include "broker/access_log_writer.h"

#include "broker/api/internal_topics.h"
#include "broker/base/log.h"
#include "broker/log/batch_builder.h"
#include "broker/replication/partition_table.h"

#include <map>

namespace forelog {
namespace {

// Part of the predictor's loop; short enough not to be seen in it, long enough to make batches.
constexpr Duration kInterval = 5ms;
constexpr Duration kIdleInterval = 50ms;
constexpr std::size_t kLogBatchSize = 256 * 1024;
// The broker makes the topic when it has started. Should somebody delete it later, it is made anew.
constexpr Duration kMakeTopicAfter = 30s;
constexpr Duration kMakeTopicMax = 10s;

Task<Result<Offset>> append(api::Services& services, PartitionKey key, Buffer batch) {
  auto partition = services.here().partitions.find(key);
  if (!partition) co_return fail(ErrorCode::kNotLeader, key.text());
  co_return CO_TRY(partition->append(std::move(batch), {1, true, true})).base;
}

}  // namespace

AccessLogWriter::AccessLogWriter(api::Services& services, prefetch::AccessFeed& feed, MetricsRegistry& metrics)
    : services_(services),
      feed_(feed),
      written_(metrics, "forelog_access_log_records_total", "Events written to the access log"),
      dropped_(metrics, "forelog_access_log_append_failures_total",
               "Events that could not be appended to the access log"),
      stop_wanted_(services.env.clock),
      tasks_(services.env.cores) {}

void AccessLogWriter::start() {
  make_topic_at_ = services_.env.clock.now() + kMakeTopicAfter;
  tasks_.spawn(run(*this));
}

Task<void> AccessLogWriter::stop() {
  stopping_ = true;
  stop_wanted_.notify();
  co_await tasks_.join();
}

Task<void> AccessLogWriter::run(AccessLogWriter& self) {
  auto& clock = self.services_.env.clock;
  while (!self.stopping_) {
    bool idle = self.feed_.waiting() == 0;
    co_await self.stop_wanted_.wait(clock.now() + (idle ? kIdleInterval : kInterval));
    co_await self.write_all();
  }
}

Task<void> AccessLogWriter::write_all() {
  while (true) {
    auto entries = feed_.drain();
    if (entries.empty()) co_return;
    co_await write(std::move(entries));
  }
}

Task<void> AccessLogWriter::make_topic() {
  auto now = services_.env.clock.now();
  if (stopping_ || now < make_topic_at_) co_return;
  make_topic_at_ = now + kMakeTopicAfter;
  auto made = co_await api::ensure_access_log_topic(services_, now + kMakeTopicMax);
  if (!made) log_line(warn, "access_log_topic_missing", {{"error", made.error()}});
}

Task<void> AccessLogWriter::write(std::vector<prefetch::AccessLogEntry> entries) {
  auto view = services_.cluster.view();
  const auto* topic = view->topic(TopicName(std::string(prefetch::kAccessLogTopic)));
  if (topic == nullptr || topic->partitions.empty()) {
    dropped_.add(static_cast<std::int64_t>(entries.size()));
    co_await make_topic();
    co_return;
  }
  // By the hash of the key, so that one job's reads stand in one partition, in order.
  std::map<std::size_t, std::vector<log::BatchBuilder>> batches;
  for (const auto& entry : entries) {
    auto& builders = batches[hash_bytes(entry.key.data(), entry.key.size()) % topic->partitions.size()];
    if (builders.empty() || builders.back().size() > kLogBatchSize) builders.emplace_back();
    builders.back().add(to_ms(entry.timestamp), entry.key, entry.value);
  }
  for (auto& [partition, builders] : batches) {
    PartitionKey key{topic->id, PartitionId(static_cast<std::int32_t>(partition))};
    for (auto& builder : builders) {
      auto count = builder.count();
      auto there = append(services_, key, std::move(builder).build());
      auto appended = co_await services_.env.cores.on(services_.owner(key), std::move(there));
      (appended ? written_ : dropped_).add(count);
    }
  }
}

}  // namespace forelog
