// settings.h: what can be set of consumer groups and of __consumer_offsets. Names, units and defaults are Kafka's.
#pragma once

#include "broker/base/limits.h"
#include "broker/base/settings.h"

#include <cstdint>
#include <limits>

namespace forelog::groups {

struct GroupSettings {
  Duration session_timeout_min = 6s;
  Duration session_timeout_max = 1800s;
  std::int32_t size_max = std::numeric_limits<std::int32_t>::max();
  Duration initial_rebalance_delay = 3s;
  std::int32_t offsets_partitions = 50;
  std::int16_t offsets_replication_factor = 3;
  Bytes offsets_segment_size = 100_MiB;
  std::int32_t offset_metadata_size_max = 4096;
  Duration offsets_retention = 168h;
  Duration offsets_retention_check_interval = 600s;
  Duration offsets_commit_timeout = 5s;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("group.min.session.timeout.ms", s.session_timeout_min, Range<Duration>{1ms, 24h},
          "Shortest session timeout that a consumer may ask for.");
    field("group.max.session.timeout.ms", s.session_timeout_max, Range<Duration>{1ms, 24h},
          "Longest session timeout that a consumer may ask for.");
    field("group.max.size", s.size_max, Range<std::int32_t>{1, std::numeric_limits<std::int32_t>::max()},
          "Most members of a group.");
    field("group.initial.rebalance.delay.ms", s.initial_rebalance_delay, Range<Duration>{0ms, 3600s},
          "How long a new group waits for more members.");
    field("offsets.topic.num.partitions", s.offsets_partitions, Range<std::int32_t>{1, 10000},
          "Partitions of the topic of committed offsets; fixed once the topic exists. Tools assume 50.");
    field("offsets.topic.replication.factor", s.offsets_replication_factor, Range<std::int16_t>{1, 32767},
          "Replicas of that topic; at most as many as there are brokers when it is created.");
    field("offsets.topic.segment.bytes", s.offsets_segment_size, Range<Bytes>{1, kShardSizeMax}, "Size of its shards.");
    field("offset.metadata.max.bytes", s.offset_metadata_size_max, Range<std::int32_t>{0, 1048576},
          "Longest metadata of a committed offset.");
    field("offsets.retention.minutes", s.offsets_retention, Range<Duration>{1min, Duration::max()},
          "Offsets of a group without members are forgotten after this long.");
    field("offsets.retention.check.interval.ms", s.offsets_retention_check_interval, Range<Duration>{1ms, 24h},
          "How often that is looked for.");
    field("offsets.commit.timeout.ms", s.offsets_commit_timeout, Range<Duration>{1ms, 24h},
          "Longest wait of an offset commit, or of a change of a group, for its record to be durable.");
  };
};

}  // namespace forelog::groups
