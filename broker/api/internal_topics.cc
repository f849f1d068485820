#include "broker/api/internal_topics.h"

#include "broker/cluster/controller.h"
#include "broker/groups/settings.h"
#include "broker/prefetch/access_feed.h"

#include <algorithm>

namespace forelog::api {
namespace {

Task<Result<void>> ensure(Services& services, cluster::NewTopic topic, Deadline deadline) {
  if (services.cluster.view()->topic(topic.name) != nullptr) co_return Result<void>{};
  auto created = co_await services.controller.create_topic(std::move(topic), false, deadline);
  // Another request may have been quicker.
  if (!created && created.error().code != ErrorCode::kTopicAlreadyExists) co_return fail(created.error());
  co_return Result<void>{};
}

// At most as many replicas as there are brokers to hold them.
std::int16_t replicas(Services& services, std::int16_t wanted) {
  auto brokers = static_cast<std::int16_t>(services.cluster.view()->brokers().size());
  return std::max<std::int16_t>(1, std::min(wanted, brokers));
}

}  // namespace

Task<Result<void>> ensure_offsets_topic(Services& services, Deadline deadline) {
  cluster::NewTopic topic;
  topic.name = TopicName(std::string(kOffsetsTopic));
  topic.partitions = services.group.offsets_partitions;
  topic.replication_factor = replicas(services, services.group.offsets_replication_factor);
  topic.configs = {{"cleanup.policy", "compact"},
                   {"compression.type", "producer"},
                   {"segment.bytes", std::to_string(services.group.offsets_segment_size)},
                   {"remote.storage.enable", "false"}};
  co_return co_await ensure(services, std::move(topic), deadline);
}

Task<Result<void>> ensure_access_log_topic(Services& services, Deadline deadline) {
  cluster::NewTopic topic;
  topic.name = TopicName(std::string(prefetch::kAccessLogTopic));
  topic.partitions = 4;
  topic.replication_factor = 1;
  // Losing the last moment of it costs a prediction, never a record; so no append waits for the disk.
  topic.configs = {{"durability", "page-cache"},
                   {"retention.ms", "86400000"},
                   {"segment.bytes", "16777216"},
                   {"remote.storage.enable", "false"}};
  co_return co_await ensure(services, std::move(topic), deadline);
}

Task<Result<void>> create_on_demand(Services& services, TopicName name, Deadline deadline) {
  CO_TRY(cluster::check_topic_name(name));
  if (name.value() == kOffsetsTopic) co_return co_await ensure_offsets_topic(services, deadline);
  if (name.value() == prefetch::kAccessLogTopic) co_return co_await ensure_access_log_topic(services, deadline);
  cluster::NewTopic topic;
  topic.name = std::move(name);
  co_return co_await ensure(services, std::move(topic), deadline);
}

}  // namespace forelog::api
