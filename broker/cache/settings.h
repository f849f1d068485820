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
  std::string disk_path{};
  Bytes disk_bytes = 10_GiB;
  Bytes disk_free_bytes = 2_GiB;
  Bytes disk_write_rate = 128_MiB;
  std::int32_t disk_threads = 4;

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
    field(
        "cache.disk.path", s.disk_path,
        "Directory of the cache's disk tier, of this broker alone; empty: there is none. Keeps blocks that were read, "
        "over a restart too.");
    field("cache.disk.bytes", s.disk_bytes, Range<Bytes>{8_MiB, 64_TiB},
          "Space that the disk tier may take. Its index takes about 200 bytes of memory for each 256 KiB.");
    field("cache.disk.free.bytes", s.disk_free_bytes, Range<Bytes>{0, 64_TiB},
          "Space that the disk tier leaves free on its disk: where others leave less, it gives back its own.");
    field("cache.disk.write.bytes.per.second", s.disk_write_rate, Range<Bytes>{64_KiB, 1_TiB},
          "Fastest rate of writing to the disk tier; blocks that come faster are not kept there.");
    field("cache.disk.threads", s.disk_threads, Range<std::int32_t>{1, 64},
          "Threads that read and write the disk tier; the log has others.");
  };
};

}  // namespace forelog::cache
