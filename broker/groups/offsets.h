// offsets.h: the committed offsets of one group.
//
// Pure: the caller passes the time. What stands here is durable; commits on their way are only marked.
#pragma once

#include "broker/groups/group.h"

#include <vector>

namespace forelog::groups {

struct TopicPartition {
  TopicName topic;
  PartitionId partition;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

struct CommittedOffset {
  Offset offset = kNoOffset;
  Epoch leader_epoch = kNoEpoch;  // of the last record consumed
  std::string metadata{};         // the client's own; comes back as it went in
  WallTime committed{};
  std::optional<WallTime> expires{};  // set by clients of before v5; else the broker's retention decides
  friend bool operator==(const CommittedOffset&, const CommittedOffset&) = default;
};

class Offsets {
 public:
  // Takes a commit whose record stands at `logged` in the group's log. One logged later stays.
  void put(const TopicPartition& partition, CommittedOffset committed, Offset logged);
  // Carries out a tombstone at `logged`; a commit logged later stays.
  void forget(const TopicPartition& partition, Offset logged);

  const CommittedOffset* find(const TopicPartition& partition) const;  // null: none
  std::map<TopicPartition, CommittedOffset> all() const;
  // Of which the log has a commit, or may come to have one: also those whose first commit is being written, or failed.
  std::vector<TopicPartition> partitions() const;
  // Of a topic: the partitions that have an offset, or may come to have one, and where its record stands (kNoOffset:
  // it is being written, or its write failed and may have come through all the same).
  std::map<TopicPartition, Offset> places(const TopicName& topic) const;
  bool empty() const { return has_none() && uncertain_.empty(); }
  // Whether there is nothing to tell, now or soon. The log may know more.
  bool has_none() const { return offsets_.empty() && in_flight_.empty(); }
  std::size_t size() const { return offsets_.size(); }

  // A commit is being written: until it is done, the partition's offset does not expire.
  void begin_commit(const TopicPartition& partition) { ++in_flight_[partition]; }
  void end_commit(const TopicPartition& partition);
  // Its write failed, as far as we know.
  void fail_commit(const TopicPartition& partition);

  // What may be forgotten at `now` (KIP-211). Without members, all that the group has had, `retention` after the last
  // member left; offsets of a consumer that never joined, `retention` after their commit; in a stable group of
  // consumers those of topics that nobody subscribes to any more.
  std::vector<TopicPartition> expired(const Group& group, WallTime now, Duration retention) const;

 private:
  struct Entry {
    CommittedOffset committed;
    Offset logged;
  };
  std::map<TopicPartition, Entry> offsets_;
  std::map<TopicPartition, int> in_flight_;
  std::set<TopicPartition> uncertain_;  // a failed write may stand in the log; settled by the next record
};

}  // namespace forelog::groups
