// all_settings.h: every setting of a broker, read and checked in one place from its file and flags.
#pragma once

#include "broker/archive/settings.h"
#include "broker/base/settings_catalog.h"
#include "broker/cache/settings.h"
#include "broker/cluster/broker_settings.h"
#include "broker/env/s3/settings.h"
#include "broker/groups/settings.h"
#include "broker/log/topic_settings.h"
#include "broker/prefetch/settings.h"
#include "broker/replication/cleaner_settings.h"

#include <string>
#include <vector>

namespace forelog {

// How the log uses memory and the disk.
struct LogSettings {
  Bytes tail_memory = 128_MiB;
  Bytes wal_file_size = 64_MiB;
  Bytes wal_size_max = 1_GiB;
  Bytes checkpoint_bytes = 64_MiB;
  std::int32_t disk_threads = 4;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("log.tail.memory", s.tail_memory, Range<Bytes>{1_MiB, 1_TiB},
          "Memory for the newest bytes of all partitions; each core gets its part.");
    field("wal.file.bytes", s.wal_file_size, Range<Bytes>{1_MiB, 4_GiB}, "Size of one file of the write-ahead log.");
    field("wal.max.bytes", s.wal_size_max, Range<Bytes>{2_MiB, 1_TiB},
          "Size of the whole write-ahead log; near it partitions write their segments, at it producers wait.");
    field("log.checkpoint.bytes", s.checkpoint_bytes, Range<Bytes>{64_KiB, 64_GiB},
          "With durability=wal, a partition syncs its segment after this much.");
    field("disk.threads", s.disk_threads, Range<std::int32_t>{1, 256}, "Threads that read, write and sync files.");
  };
};

struct AllSettings {
  SettingMap raw;                     // the file with --set laid over it
  std::vector<std::string> warnings;  // one line a setting that is Kafka's but has no effect here
  cluster::BrokerSettings broker;
  cluster::ServiceSettings service;
  groups::GroupSettings group;
  LogSettings log;
  replication::CleanerSettings cleaner;
  cache::CacheSettings cache;
  archive::ArchiveSettings archive;
  env::s3::S3Settings s3;
  prefetch::PrefetchSettings prefetch;
  prefetch::TopicPrefetchSettings topic_prefetch;  // the mode of topics that do not say their own
  prefetch::HintServiceSettings hints;
  prefetch::AccessLogSettings access_log;
};

// What every layer can be set to; the source of docs/settings.md and of DescribeConfigs.
const SettingsCatalog& settings_catalog();

// Reads and checks `raw`: unknown keys are refused by name, values out of range with the range.
Result<AllSettings> read_all_settings(SettingMap raw);

}  // namespace forelog
