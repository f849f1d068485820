// topic_writer.h: carries out the controller's decisions on topics in the metadata tree. Every step may be repeated
// after a crash: what is half made is completed, what is half removed is removed.
//
// On core 0, one call at a time (the controller's turns see to that). Numbers returned are those of
// FencedWriter::commit.
#pragma once

#include "broker/cluster/cluster_state.h"
#include "broker/cluster/fenced_writer.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace forelog::cluster {

class TopicWriter {
 public:
  TopicWriter(env::Env& env, FencedWriter& writer, ClusterState& state);

  // Writes a topic that is not there yet, its settings, and the first state of each partition. TopicAlreadyExists.
  Task<Result<std::int64_t>> create(TopicName name, TopicRecord record, SettingMap configs);

  // Gives a topic what it lacks: an id (the one known here, else a new one), settings, states of its partitions. So
  // topics written by scripts become topics. Yields 0 when it lacks nothing and the view shows it as it is.
  Task<Result<std::int64_t>> complete(TopicName name);

  // Marks the topic for deletion, and removes all of it.
  Task<Result<std::int64_t>> remove(TopicName name, Deadline deadline);

  // Elects leaders where the present one is gone, after brokers came or went. Timeout: by `deadline` the view does not
  // show what was decided before; to be repeated.
  Task<Result<void>> elect_leaders(Deadline deadline);

 private:
  using Ops = std::vector<env::MetadataOp>;
  // Commits `ops` in parts that fit into one request; the note comes with the last.
  Task<Result<std::int64_t>> commit_in_parts(Ops ops, std::string noted);
  Task<Result<std::set<BrokerId>>> live_brokers();
  Task<Result<Ops>> missing_states(TopicName name, const std::map<PartitionId, Replicas>& partitions);
  void ignore(const TopicName& name, std::string_view why);
  void add_state(Ops& ops, const TopicName& name, PartitionId id, const Replicas& replicas,
                 const std::set<BrokerId>& live) const;

  env::MetadataStore& store_;
  env::Cores& cores_;
  env::Random& random_;
  FencedWriter& writer_;
  ClusterState& state_;
  std::set<TopicName> ignored_;  // topics that cannot be used, and were complained of
};

}  // namespace forelog::cluster
