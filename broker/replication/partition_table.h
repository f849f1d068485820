// partition_table.h: the partitions that live on one core: opened, changed and closed as ClusterView says.
//
// One per core, used on that core. Also answers what the prefetcher must know of them.
#pragma once

#include "broker/cluster/cluster_view.h"
#include "broker/prefetch/shard_map.h"
#include "broker/replication/partition.h"

#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace forelog::replication {

struct PartitionTableMetrics {
  explicit PartitionTableMetrics(MetricsRegistry& registry);
  Gauge partitions, opening, bytes_local, bytes_archived;
  Counter open_failures;
};

class PartitionTable final : public prefetch::ShardMap {
 public:
  using PartitionPtr = std::shared_ptr<Partition>;
  struct Parts {
    PartitionContext& context;
    MetricsRegistry& metrics;
    std::function<bool(const PartitionKey&)> is_mine;  // whether this core owns the partition
    prefetch::PrefetchMode prefetch_mode;              // of topics that inherit it
  };
  explicit PartitionTable(Parts parts);
  ~PartitionTable() override;

  // Called when a partition has been opened, or is led again, and before it is closed, or led no more. Set before
  // `start`.
  using Listener = std::function<void(const PartitionPtr&, bool opened)>;
  void set_listener(Listener listener) { listener_ = std::move(listener); }

  // Opens what `view` says this broker leads, removes what lies on the disk for topics that are no more or are being
  // deleted, and resumes when all is open. A partition that cannot be opened is logged, tried again, and answers with
  // its error meanwhile.
  Task<void> start(cluster::ClusterViewPtr view);
  // A newer view: opens, updates and removes; later, not inside this call. Only a topic that is gone takes its bytes
  // with it: a partition that loses its leader, as when this broker's session ends, is kept as it is.
  void follow(cluster::ClusterViewPtr view);
  Task<void> stop();  // closes all

  // The partition, waiting for one that is being opened. UnknownTopicOrPartition, NotLeader, Timeout, or why it could
  // not be opened.
  Task<Result<PartitionPtr>> get(PartitionKey key, Deadline deadline);
  PartitionPtr find(const PartitionKey& key) const;  // null unless open

  // For who found none and must not be overtaken by who asks later. `use` is called with the partition in the moment in
  // which it opens, before anybody finds it, and in the order of these calls. Fails as `get` when it is not being
  // opened.
  struct Place;
  using PlacePtr = std::shared_ptr<Place>;
  Result<PlacePtr> line_up(const PartitionKey& key, std::function<void(const PartitionPtr&)> use);
  // Until `use` has been called; when this fails, as `get` does, it never will be.
  Task<Result<void>> wait_in_line(PlacePtr place, Deadline deadline);

  std::vector<PartitionPtr> all() const;

  std::optional<prefetch::PartitionBounds> bounds(const PartitionKey& partition) const override;
  std::optional<prefetch::Owner> owner(const PartitionKey& partition) const override;
  Task<Result<std::vector<prefetch::Extent>>> resolve(PartitionKey partition, prefetch::OffsetRange offsets,
                                                      Bytes bytes_max) override;
  Task<Result<prefetch::OffsetRange>> offsets_at(PartitionKey partition, prefetch::TimeRange times) override;

 private:
  struct Slot {
    PartitionPtr partition;      // null while opening, or when that failed
    std::optional<Error> error;  // of the last attempt
    bool opening = false;
    bool led = false;  // by this broker; otherwise it is kept, and found by nobody
    std::vector<PlacePtr> line;
  };
  static void serve(Slot& slot);
  Error why_not_open(const PartitionKey& key) const;
  static Task<void> open(PartitionTable& self, cluster::TopicViewPtr topic, PartitionKey key, Epoch epoch);
  void leave(PartitionKey key, PartitionPtr partition);
  Task<bool> is_gone(PartitionKey key);
  static Task<void> remove(PartitionTable& self, PartitionKey key, PartitionPtr partition);
  static Task<void> remove_leftovers(PartitionTable& self, PartitionKey key);
  Task<Result<void>> remove_everything(PartitionKey key);
  static Task<void> tick(PartitionTable& self);
  Task<bool> view_is_complete();
  Task<void> remove_orphans(cluster::ClusterViewPtr view);
  void reconcile(const cluster::ClusterView& view, const cluster::ClusterView* before);
  bool leads(const cluster::ClusterView& view, const PartitionKey& key) const;

  Parts parts_;
  PartitionTableMetrics metrics_;
  Listener listener_;
  cluster::ClusterViewPtr view_;
  std::unordered_map<PartitionKey, Slot> slots_;
  // Whose topic has left the view, until their files are gone, or closed: nobody opens them before.
  std::unordered_set<PartitionKey> leaving_;
  Event changed_;  // a slot has opened, failed or gone
  Event stop_wanted_;
  std::size_t opening_ = 0;        // slots
  std::size_t files_opening_ = 0;  // of these, past the queue
  bool retry_wanted_ = false;      // something could not be opened
  bool stopping_ = false;
  TaskGroup tasks_;
};

}  // namespace forelog::replication
