// settings.h: what of the archive can be set, besides where it is (archive.url).
#pragma once

#include "broker/base/settings.h"

namespace forelog::archive {

struct ArchiveSettings {
  std::string prefix = "forelog";
  Duration retry_backoff = 20ms;
  Duration retry_backoff_max = 30s;
  Duration put_timeout = 120s;
  bool hedge = true;
  Bytes index_memory = 64_MiB;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("archive.prefix", s.prefix,
          "What the names of all objects begin with; clusters that share a bucket differ in it.");
    field("archive.retry.backoff.ms", s.retry_backoff, Range<Duration>{1ms, 10s},
          "Pause before the first retry of an archive request; doubles with each, with jitter.");
    field("archive.retry.backoff.max.ms", s.retry_backoff_max, Range<Duration>{1ms, 3600s},
          "Longest pause between attempts to archive a shard while the archive does not answer.");
    field("archive.put.timeout.ms", s.put_timeout, Range<Duration>{1s, 3600s}, "Longest upload of one shard.");
    field("archive.hedge", s.hedge,
          "Whether a read that somebody waits for is asked for a second time when it takes half longer than 95 % of "
          "those before did.");
    field("archive.index.memory", s.index_memory, Range<Bytes>{64_KiB, 1_TiB},
          "Memory for indexes of archived shards; each core gets its part.");
  };
};

}  // namespace forelog::archive
