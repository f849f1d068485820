// in_sync_set.h: how far each replica has got, and from that the high watermark. Pure; the leader's view of one epoch.
//
// Invariant: the high watermark never falls, and never passes what a member of the set has.
#pragma once

#include "broker/base/ids.h"

#include <vector>

namespace forelog::replication {

class InSyncSet {
 public:
  // The leader counts as a member with its durable end. `replicas` is how many the partition has, which caps
  // `min_in_sync`.
  InSyncSet(BrokerId leader, std::vector<BrokerId> members, int replicas, int min_in_sync, Offset high_watermark);

  Offset high_watermark() const { return high_watermark_; }
  int size() const { return static_cast<int>(members_.size()); }
  bool contains(BrokerId broker) const;
  // Enough members for acks=all, and for the high watermark to move (KAFKA-15583).
  bool has_enough() const;

  // `broker` has everything below `end`; an older report than the last is ignored. Unknown brokers are ignored.
  // Returns whether the high watermark moved.
  bool acknowledged(BrokerId broker, Offset end);

  // Membership as the metadata store has it. A new member counts with what it has acknowledged, which must be known.
  bool set_members(const std::vector<BrokerId>& members);
  bool set_min_in_sync(int min_in_sync);

 private:
  struct Member {
    BrokerId broker;
    Offset end{0};
  };
  bool advance();
  BrokerId leader_;
  std::vector<Member> members_;
  int replicas_;
  int min_in_sync_;
  Offset high_watermark_;
};

}  // namespace forelog::replication
