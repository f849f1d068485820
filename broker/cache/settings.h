// settings.h: what of the block cache can be set.
#pragma once

#include "broker/base/settings.h"

namespace forelog::cache {

struct CacheSettings {
  Bytes memory = 512_MiB;
  double staging_share = 0.4;
  double heads_share = 0.1;
  Duration load_timeout = 5s;
  std::int32_t loads_in_flight_max = 128;
  Duration failure_memory = 200ms;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("cache.memory", s.memory, Range<Bytes>{1_MiB, 1_TiB},
          "Memory for blocks of archived shards; each core gets its part.");
    field("cache.staging.share", s.staging_share, Range<double>{0.0, 0.9},
          "Part of cache.memory, at most, for prefetched blocks that nobody has read yet.");
    field("cache.heads.share", s.heads_share, Range<double>{0.0, 0.5},
          "Part of cache.memory, at most, for the heads of sessions that are expected later.");
    field("cache.load.timeout.ms", s.load_timeout, Range<Duration>{1ms, 60s},
          "Longest wait for one archive read of up to 4 MiB, retries included.");
    field("cache.loads.in.flight.max", s.loads_in_flight_max, Range<std::int32_t>{4, 4096},
          "Archive reads on their way at once, on one core; a quarter of them is kept for reads that somebody waits "
          "for.");
    field("cache.failure.memory.ms", s.failure_memory, Range<Duration>{10ms, 10s},
          "How long a failed archive read answers for its blocks before they are tried again.");
  };
};

}  // namespace forelog::cache
