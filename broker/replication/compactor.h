// compactor.h: rewrites a partition's shards into new generations: compaction by key, and merge of small neighbours.
//
// Runs on the partition's core while this broker leads it, in the archiver's loop, so that archiving, retention and
// rewriting of a partition take turns. A rewrite never touches a shard: it writes the segment of another generation
// beside it and then swaps it into the chain by one commit of the catalog, or, for archived shards, by one
// compare-and-set of the chain record after its object was put and verified. A crash in any step leaves either the old
// shards or the new one, and files or objects that nobody names, which are removed. What decides is pure:
// log/compaction.h, log/shard_cutter.h.
#pragma once

#include "broker/archive/footer_cache.h"
#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/log/compaction.h"
#include "broker/log/local_log.h"
#include "broker/log/segment_content.h"
#include "broker/log/shard_rewriter.h"
#include "broker/replication/cleaner_settings.h"
#include "broker/replication/producer_table.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace forelog::replication {

struct CompactorMetrics {
  explicit CompactorMetrics(MetricsRegistry& registry);
  Counter passes, failures, bytes_read, bytes_written, records_removed, keyless_removed, merges, shards_replaced,
      busy_ms;
};

class Compactor {
 public:
  // What one core's compactors share. One of them works at a time: they share the memory for keys.
  struct Context {
    env::Env& env;
    CompactorMetrics& metrics;
    CleanerSettings settings;
    Bytes dedupe_memory = 128_MiB;            // of this core
    archive::FooterCache* footers = nullptr;  // null without an archive
    std::string archive_prefix = "forelog";
    bool busy = false;
  };

  // What rewriting archived shards asks of the keeper of the chain record.
  class Archive {
   public:
    virtual ~Archive() = default;
    // A generation that nobody has used for an object of this partition, nor will.
    virtual Task<Result<Generation>> reserve_generation() = 0;
    // Puts the object, swaps it into the chain record, then into the log.
    virtual Task<Result<void>> replace(log::ShardDescriptor next, log::SegmentContent& content) = 0;
  };

  Compactor(Context& context, log::LocalLog& log, Archive& archive, const ProducerTable* producers);

  // Does one piece of work if there is some that is worth it and no other partition of the core is at it: a pass of
  // compaction, or one merge. `stopping` is looked at between pieces of half a MiB. Failures are logged and tried again
  // after a pause; they are nobody else's.
  Task<void> pass(const bool& stopping);

 private:
  struct Totals {
    Bytes read = 0;
    Bytes written = 0;
    std::int64_t removed = 0;
    std::int64_t keyless = 0;
    std::size_t shards_before = 0;
    std::size_t shards_after = 0;
  };
  struct MappedKeys {
    std::unique_ptr<log::KeyMap> keys;
    Offset end;  // what lies before it is in the map
  };
  Task<Result<void>> compact(log::CompactionWork work, const bool& stopping);
  Task<Result<void>> merge(log::ShardRun run, const bool& stopping);
  Task<Result<MappedKeys>> map_keys(log::CompactionWork work, Totals& totals, const bool& stopping);
  // One run becomes one shard; without `rules` all of its batches stay.
  Task<Result<void>> rewrite(log::ShardRun run, const log::CleanRules* rules, Totals& totals, const bool& stopping);
  Task<Result<bool>> copy(const log::ShardRun& run, const std::vector<std::shared_ptr<log::SegmentContent>>& contents,
                          const log::CleanRules* rules, log::ShardRewriter& into, Totals& totals, const bool& stopping);
  Task<Result<void>> swap_in(const log::ShardRun& run, log::Footer footer);
  Task<Result<std::shared_ptr<log::SegmentContent>>> content_of(log::ShardDescriptor shard);
  Task<void> pace(Bytes bytes, const bool& stopping);
  std::vector<log::ShardDescriptor> find_merge();
  void note_failure(const Error& error);

  Context& context_;
  log::LocalLog& log_;
  Archive& archive_;
  const ProducerTable* producers_;
  PartitionKey partition_;
  Instant not_before_{};
  Duration pause_;
  // The chain as it was when no merge was found in it.
  std::uint64_t looked_at_ = 0;
};

}  // namespace forelog::replication
