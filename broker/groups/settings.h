// settings.h: what can be set of consumer groups. Names, units and defaults are Kafka's.
#pragma once

#include "broker/base/settings.h"

#include <cstdint>
#include <limits>

namespace forelog::groups {

inline constexpr std::int32_t kInt32Max = std::numeric_limits<std::int32_t>::max();

// Of the membership state machine.
struct GroupSettings {
  Duration initial_rebalance_delay = 3s;
  Duration session_timeout_min = 6s;
  Duration session_timeout_max = 30min;
  std::int32_t size_max = kInt32Max;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("group.initial.rebalance.delay.ms", s.initial_rebalance_delay, Range<Duration>{0ms, 30min},
          "How long the first rebalance of an empty group waits for more members.");
    field("group.min.session.timeout.ms", s.session_timeout_min, Range<Duration>{1ms, 24h},
          "Shortest session timeout that a member may ask for.");
    field("group.max.session.timeout.ms", s.session_timeout_max, Range<Duration>{1ms, 24h},
          "Longest session timeout that a member may ask for.");
    field("group.max.size", s.size_max, Range<std::int32_t>{1, kInt32Max}, "Most members that a group may have.");
  };
};

// Of committed offsets and the topic that holds them.
struct OffsetsSettings {
  std::int32_t metadata_bytes_max = 4096;
  Duration retention = 7 * 24h;
  Duration retention_check_interval = 10min;
  Duration commit_timeout = 5s;
  std::int32_t partitions = 50;
  std::int32_t load_buffer_bytes = 5 * 1024 * 1024;
  std::int32_t segment_bytes = 100 * 1024 * 1024;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("offset.metadata.max.bytes", s.metadata_bytes_max, Range<std::int32_t>{0, 32767},
          "Most bytes of metadata with a committed offset.");
    field("offsets.retention.minutes", s.retention, Range<Duration>{1min, 24h * 365 * 100},
          "How long committed offsets outlive the last member of their group.");
    field("offsets.retention.check.interval.ms", s.retention_check_interval, Range<Duration>{1ms, 24h},
          "How often expired offsets are looked for.");
    field("offsets.commit.timeout.ms", s.commit_timeout, Range<Duration>{1ms, 10min},
          "How long a commit, or a change of a group, waits until its record is durable.");
    field("offsets.topic.num.partitions", s.partitions, Range<std::int32_t>{1, 10000},
          "Partitions of __consumer_offsets when it is created. Tools assume 50.");
    field("offsets.load.buffer.size", s.load_buffer_bytes, Range<std::int32_t>{1, kInt32Max},
          "Bytes of __consumer_offsets read at once while groups are loaded.");
    field("offsets.topic.segment.bytes", s.segment_bytes, Range<std::int32_t>{1024, kInt32Max},
          "Size of a shard of __consumer_offsets.");
  };
};

}  // namespace forelog::groups
