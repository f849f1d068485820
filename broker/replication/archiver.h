// archiver.h: moves one partition's sealed shards to the archive, and removes what retention no longer keeps.
//
// Runs on the partition's core while this broker leads it. A sealed shard goes through fixed steps: object put and
// verified, chain record by compare-and-set, catalog, index handed to readers; later, by retention, its local bytes go.
// What retention removes goes in the order chain record, catalog, objects. Each step may be repeated: after a crash, or
// a failure, the loop starts over from what chain record and catalog say. While archive or metadata store do not answer
// it tries again with growing pauses; nothing else of the partition waits for it.
#pragma once

#include "broker/archive/archived_log.h"
#include "broker/archive/footer_cache.h"
#include "broker/archive/manifest.h"
#include "broker/archive/settings.h"
#include "broker/base/metrics.h"
#include "broker/cluster/chain_record.h"
#include "broker/cluster/cluster_view.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"
#include "broker/log/local_log.h"
#include "broker/replication/compactor.h"
#include "broker/replication/topic_describer.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace forelog::replication {

struct ArchiverMetrics {
  explicit ArchiverMetrics(MetricsRegistry& registry);
  Counter archived_shards, archived_bytes, removed_shards, removed_objects, dropped_local_shards, failures;
  Gauge waiting_shards;  // sealed, not archived yet
};

class Archiver final : public Compactor::Archive {
 public:
  // What one core's archivers share.
  struct Context {
    env::Env& env;                            // without an archive, only local retention is applied
    archive::FooterCache* footers = nullptr;  // null without an archive
    cache::BlockCache* cache = nullptr;
    ArchiverMetrics& metrics;
    archive::ArchiveSettings settings;
    // Told when offsets of a partition have left the local disk; may be empty.
    std::function<void(const PartitionKey&, Offset from, Offset to)> on_local_drop = {};
    Duration pass_interval = 5s;              // retention is looked at this often, at least
    Compactor::Context* compactor = nullptr;  // null: shards are not rewritten
    TopicDescriber* topics = nullptr;         // null: the archive does not know of topics
  };

  // `log`, `archived` and `producers` outlive this. `archived` is filled from the catalog's copy of the chain at once.
  Archiver(Context& context, log::LocalLog& log, archive::ArchivedLog& archived,
           const ProducerTable* producers = nullptr);
  ~Archiver() override;

  void start(Epoch leader_epoch);
  Task<void> stop();  // no longer than one request to the archive or the metadata store

  // What the archive is to know of the topic before it gets its next shard.
  void describe(cluster::TopicViewPtr topic) { topic_ = std::move(topic); }

  // Something was sealed, the settings changed, or records were deleted: look now.
  void wake();

  // One pass: archives what is sealed, applies retention, removes what is left over. For tests; `start` loops over it.
  Task<Result<void>> pass();

 private:
  Task<void> loop();
  Task<Result<void>> load_chain();
  Task<Result<void>> load_manifests();
  Task<Result<void>> remake_manifests(Error why);
  Task<Result<void>> archive_sealed();
  Task<Result<void>> archive_one(log::ShardDescriptor shard);
  Task<Result<void>> apply_retention();
  Task<Result<void>> trim_chain(Offset log_start);
  Task<Result<void>> write_chain(cluster::ChainRecord next);
  Task<Result<void>> create_parents();
  Task<Result<void>> spill_if_full();
  Task<Result<void>> remove_objects();
  Task<Result<Generation>> reserve_generation() override;
  Task<Result<void>> replace(log::ShardDescriptor next, log::SegmentContent& content) override;
  Task<Result<void>> adopt_rewritten(const log::ShardDescriptor& shard);
  Task<Result<void>> put_pages(std::size_t first_changed, cluster::ChainRecord& record,
                               std::vector<archive::Manifest>& pages, std::vector<std::string>& keys);
  void retire(const log::ShardDescriptor& shard);
  Task<Result<void>> collect_orphans();
  bool is_orphan(const std::string& key) const;
  void publish();
  void count_waiting(std::size_t shards);
  const log::ShardDescriptor* find_archived(const log::ShardDescriptor& shard) const;
  log::AccessSummary access_of(const log::ShardDescriptor& shard) const;
  void restore_access(const std::vector<log::ShardDescriptor>& recorded);
  std::string key_of(const log::ShardDescriptor& shard) const;
  Deadline request_deadline() const;

  Context& context_;
  log::LocalLog& log_;
  archive::ArchivedLog& archived_;
  PartitionKey partition_;
  Epoch epoch_ = kNoEpoch;

  cluster::TopicViewPtr topic_;
  cluster::TopicViewPtr described_;  // as the archive knows it

  bool loaded_ = false;  // `record_` is what the metadata store had when last heard of
  cluster::ChainRecord record_;
  std::int32_t record_version_ = -1;      // of the znode; -1: there is none
  std::vector<archive::Manifest> pages_;  // oldest first; `page_keys_` beside it
  std::vector<std::string> page_keys_;
  std::vector<std::string> garbage_;  // keys of objects that no chain names any more
  // The same, of shards that were rewritten: readers that began before may still want them until then.
  std::vector<std::pair<Instant, std::string>> retired_;
  bool orphans_collected_ = false;
  std::size_t waiting_ = 0;  // as counted in the metrics

  bool stopping_ = false;
  bool woken_ = false;
  Event changed_;
  TaskGroup tasks_;
  std::unique_ptr<Compactor> compactor_;
};

// Deletes all that the archive and the metadata store have of a partition whose topic is gone. Repeatable.
Task<Result<void>> remove_archived_partition(env::Env& env, std::string prefix, PartitionKey partition,
                                             Deadline deadline);

}  // namespace forelog::replication
