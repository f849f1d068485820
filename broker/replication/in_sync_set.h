// in_sync_set.h: how far each replica has got, and from that the high watermark. Pure; the leader's view of one epoch.
//
// Invariant: the high watermark never falls, and never moves beyond what a member of the set has.
#pragma once

#include "broker/base/ids.h"

#include <vector>

namespace forelog::replication {

class InSyncSet {
 public:
  struct Member {
    BrokerId broker;
    Offset end{0};  // it has everything below
  };

  // The leader is a member, with its durable end. `replicas` is how many the partition has, which caps `min_in_sync`.
  InSyncSet(BrokerId leader, std::vector<BrokerId> members, int replicas, int min_in_sync, Offset high_watermark);

  Offset high_watermark() const { return high_watermark_; }
  int size() const { return static_cast<int>(members_.size()); }
  bool contains(BrokerId broker) const;
  // Enough members for acks=all, and for the high watermark to move (KAFKA-15583).
  bool has_enough() const;

  // `broker` has everything below `end`. A report older than the last is ignored, and so is one of a stranger.
  // Returns whether the high watermark moved.
  bool acknowledged(BrokerId broker, Offset end);

  // Membership as the metadata store has it, with how far each has got. Returns whether the high watermark moved.
  bool set_members(const std::vector<Member>& members);
  bool set_min_in_sync(int min_in_sync);

 private:
  bool advance();
  BrokerId leader_;
  std::vector<Member> members_;
  int replicas_;
  int min_in_sync_;
  Offset high_watermark_;
};

}  // namespace forelog::replication
