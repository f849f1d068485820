// topic_settings.h: what may be set per topic. Names, units and defaults are Kafka 3.9's where Kafka has the setting.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/settings.h"
#include "broker/base/time.h"
#include "broker/log/batch.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::log {

// What an acknowledged append has survived: the group-committed write-ahead log on disk, or the system's page cache.
enum class Durability : std::uint8_t { wal, page_cache };
constexpr std::array<std::string_view, 2> enum_names(Durability) { return {"wal", "page-cache"}; }

// How much of a produced batch is looked at: its header, checksum and counts, or every record in it.
enum class ProducerValidation : std::uint8_t { header, full };
constexpr std::array<std::string_view, 2> enum_names(ProducerValidation) { return {"header", "full"}; }

// Which of this broker's cache tiers produced bytes go into at once: memory; or memory and the disk tier.
enum class WriteThroughTier : std::uint8_t { none, memory, disk };
constexpr std::array<std::string_view, 3> enum_names(WriteThroughTier) { return {"none", "memory", "disk"}; }

// Who may start loads of cold data before a reader asks. `inherit` is the broker's prefetch.mode.
enum class PrefetchMode : std::uint8_t { inherit, off, read_ahead, predict };
constexpr std::array<std::string_view, 4> enum_names(PrefetchMode) {
  return {"inherit", "off", "read-ahead", "predict"};
}

constexpr std::array<std::string_view, 2> enum_names(TimestampType) { return {"CreateTime", "LogAppendTime"}; }

struct TopicSettings {
  std::int32_t segment_bytes = 1 << 30;
  Duration segment_age = 168h;
  Duration retention = 168h;  // below zero: for ever
  Bytes retention_bytes = -1;
  Duration local_retention = -2ms;  // -2: as `retention`
  Bytes local_retention_bytes = -2;
  bool remote_storage = false;
  std::int32_t max_message_bytes = 1048588;
  std::vector<std::string> cleanup_policy = {"delete"};
  std::int32_t min_insync_replicas = 1;
  TimestampType timestamp_type = TimestampType::create_time;
  Duration timestamp_before_max = Duration::max();
  Duration timestamp_after_max = Duration::max();
  std::string compression_type = "producer";
  std::int32_t index_interval_bytes = 4096;
  Duration delete_retention = 24h;
  Duration min_compaction_lag = 0ms;
  Duration max_compaction_lag = Duration::max();
  double min_cleanable_dirty_ratio = 0.5;
  std::int64_t flush_messages = INT64_MAX;
  Duration flush_interval = Duration::max();
  Duration file_delete_delay = 60s;
  bool preallocate = false;
  std::int32_t segment_index_bytes = 10 << 20;
  Duration segment_jitter = 0ms;
  bool unclean_leader_election = false;
  Durability durability = Durability::wal;
  ProducerValidation producer_validation = ProducerValidation::header;
  WriteThroughTier write_through = WriteThroughTier::none;
  PrefetchMode prefetch_mode = PrefetchMode::inherit;

  bool has_policy(std::string_view policy) const {
    return std::find(cleanup_policy.begin(), cleanup_policy.end(), policy) != cleanup_policy.end();
  }
  bool compacts() const { return has_policy("compact"); }
  bool deletes() const { return has_policy("delete"); }
  // How long, and how much, stays on this broker's disk once archived; below zero: no limit.
  Duration local_retention_effective() const { return local_retention == -2ms ? retention : local_retention; }
  Bytes local_retention_bytes_effective() const {
    return local_retention_bytes == -2 ? retention_bytes : local_retention_bytes;
  }
  // What a leader asks of a batch produced to the topic at `now`.
  BatchRules batch_rules(WallTime now) const;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("segment.bytes", s.segment_bytes, Scope::topic, Range<std::int32_t>{14, INT32_MAX},
          Synonym{"log.segment.bytes"}, "A shard ends before it grows beyond this many bytes.");
    field("segment.ms", s.segment_age, Scope::topic, Range<Duration>{1ms, Duration::max()}, Synonym{"log.roll.ms"},
          Synonym{"log.roll.hours"}, "A shard ends when its first record is older than this.");
    field("retention.ms", s.retention, Scope::topic, Range<Duration>{-1ms, Duration::max()},
          Synonym{"log.retention.ms"}, Synonym{"log.retention.minutes"}, Synonym{"log.retention.hours"},
          "Shards whose newest record is older than this are removed; -1: never.");
    field("retention.bytes", s.retention_bytes, Scope::topic, Range<Bytes>{-1, INT64_MAX},
          Synonym{"log.retention.bytes"}, "A partition's oldest shards beyond this size are removed; -1: never.");
    field("local.retention.ms", s.local_retention, Scope::topic, Range<Duration>{-2ms, Duration::max()},
          Synonym{"log.local.retention.ms"}, "Archived shards older than this leave the local disk; -2: retention.ms.");
    field("local.retention.bytes", s.local_retention_bytes, Scope::topic, Range<Bytes>{-2, INT64_MAX},
          Synonym{"log.local.retention.bytes"},
          "Archived shards beyond this size leave the local disk; -2: retention.bytes.");
    field("remote.storage.enable", s.remote_storage, Scope::topic, "Sealed shards are archived.");
    field("max.message.bytes", s.max_message_bytes, Scope::topic, Range<std::int32_t>{0, INT32_MAX},
          Synonym{"message.max.bytes"}, "Largest record batch accepted, as compressed.");
    field("cleanup.policy", s.cleanup_policy, Scope::topic, OneOf{{"delete", "compact"}}, Synonym{"log.cleanup.policy"},
          "delete, compact or both: how old records go.");
    field("min.insync.replicas", s.min_insync_replicas, Scope::topic, Range<std::int32_t>{1, INT32_MAX},
          Synonym{"min.insync.replicas"}, "Replicas that must have a record before acks=all is answered.");
    field("message.timestamp.type", s.timestamp_type, Scope::topic, Synonym{"log.message.timestamp.type"},
          "Whose clock a record's timestamp is: the producer's or the broker's.");
    field("message.timestamp.before.max.ms", s.timestamp_before_max, Scope::topic,
          Range<Duration>{0ms, Duration::max()}, Synonym{"log.message.timestamp.before.max.ms"},
          "How far a timestamp may lie behind the broker's clock.");
    field("message.timestamp.after.max.ms", s.timestamp_after_max, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.message.timestamp.after.max.ms"}, "How far a timestamp may lie ahead of the broker's clock.");
    field("compression.type", s.compression_type, Scope::topic,
          OneOf{{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"}}, Synonym{"compression.type"},
          "Known for Kafka's sake: batches keep their producer's codec, whatever it says.");
    field("index.interval.bytes", s.index_interval_bytes, Scope::topic, Range<std::int32_t>{0, INT32_MAX},
          Synonym{"log.index.interval.bytes"}, "Known for Kafka's sake: our index has an entry every 32 KiB.");
    field("delete.retention.ms", s.delete_retention, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.cleaner.delete.retention.ms"}, "How long compaction keeps tombstones.");
    field("min.compaction.lag.ms", s.min_compaction_lag, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.cleaner.min.compaction.lag.ms"}, "A record stays uncompacted at least this long.");
    field("max.compaction.lag.ms", s.max_compaction_lag, Scope::topic, Range<Duration>{1ms, Duration::max()},
          Synonym{"log.cleaner.max.compaction.lag.ms"}, "A record is compacted at the latest after this long.");
    field("min.cleanable.dirty.ratio", s.min_cleanable_dirty_ratio, Scope::topic, Range<double>{0, 1},
          Synonym{"log.cleaner.min.cleanable.ratio"}, "Compaction starts above this share of uncompacted bytes.");
    field("flush.messages", s.flush_messages, Scope::topic, Range<std::int64_t>{1, INT64_MAX},
          Synonym{"log.flush.interval.messages"},
          "Known for Kafka's sake: with durability=wal every acknowledged record is synced.");
    field("flush.ms", s.flush_interval, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.flush.interval.ms"}, "With durability=page-cache, how long records may stay unsynced.");
    field("file.delete.delay.ms", s.file_delete_delay, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.segment.delete.delay.ms"},
          "How long an archived object that a rewrite has replaced stays for readers that began before; files go when "
          "their last reader does.");
    field("preallocate", s.preallocate, Scope::topic, Synonym{"log.preallocate"},
          "Known for Kafka's sake: segments are not preallocated.");
    field("segment.index.bytes", s.segment_index_bytes, Scope::topic, Range<std::int32_t>{4, INT32_MAX},
          Synonym{"log.index.size.max.bytes"}, "Known for Kafka's sake: a shard's index is part of its footer.");
    field("segment.jitter.ms", s.segment_jitter, Scope::topic, Range<Duration>{0ms, Duration::max()},
          Synonym{"log.roll.jitter.ms"}, Synonym{"log.roll.jitter.hours"},
          "Known for Kafka's sake: shards end where segment.ms says.");
    field("unclean.leader.election.enable", s.unclean_leader_election, Scope::topic,
          Synonym{"unclean.leader.election.enable"}, "A replica that is not in sync may become leader.");
    field("durability", s.durability, Scope::topic, Synonym{"durability"},
          "What an acknowledged record survives: wal, a power cut; page-cache, a crash of the broker.");
    field("producer.validation", s.producer_validation, Scope::topic, Synonym{"producer.validation"},
          "full also opens produced batches and checks each record.");
    field(
        "cache.write.through", s.write_through, Scope::topic, Synonym{"cache.write.through"},
        "Produced bytes go into these cache tiers at once and are still warm when their shard has left the local disk: "
        "none; memory; disk, which is memory and the disk tier.");
    field("prefetch.mode", s.prefetch_mode, Scope::topic, Synonym{"prefetch.mode"},
          "Who may load archived data ahead of readers.");
  };
};

}  // namespace forelog::log
