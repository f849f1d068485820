// cleaner_settings.h: how shards are rewritten. Names and defaults are Kafka's where Kafka has the setting.
#pragma once

#include "broker/base/settings.h"

#include <limits>

namespace forelog::replication {

struct CleanerSettings {
  bool enable = true;
  Bytes dedupe_memory = 134217728;
  double bytes_per_second = std::numeric_limits<double>::max();
  Duration backoff = 15s;
  std::int32_t merge_count = 10;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("log.cleaner.enable", s.enable, "Whether topics with cleanup.policy=compact are compacted.");
    field("log.cleaner.dedupe.buffer.size", s.dedupe_memory, Range<Bytes>{1_MiB, 1_TiB},
          "Memory for the newest offset of each key during compaction; each core gets its part. A pass that meets more "
          "keys than fit (24 bytes each) leaves the rest to the next.");
    field("log.cleaner.io.max.bytes.per.second", s.bytes_per_second,
          Range<double>{1, std::numeric_limits<double>::max()},
          "Most bytes that each core's compaction reads and writes in a second.");
    field("log.cleaner.backoff.ms", s.backoff, Range<Duration>{0ms, Duration::max()},
          "How long a partition's compaction waits after a failure; doubles with each further one, up to an hour.");
    field("shard.merge.count", s.merge_count, Range<std::int32_t>{0, 10000},
          "So many small neighbouring shards of a topic that is not compacted become one; 0: never.");
  };
};

}  // namespace forelog::replication
