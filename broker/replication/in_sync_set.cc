#include "broker/replication/in_sync_set.h"

#include "broker/base/check.h"

#include <algorithm>

namespace forelog::replication {

InSyncSet::InSyncSet(BrokerId leader, std::vector<BrokerId> members, int replicas, int min_in_sync,
                     Offset high_watermark)
    : leader_(leader), replicas_(replicas), min_in_sync_(min_in_sync), high_watermark_(high_watermark) {
  for (auto broker : members) members_.push_back({broker, Offset(0)});
  CHECK(contains(leader), "the leader is in sync with itself");
}

bool InSyncSet::contains(BrokerId broker) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& m) { return m.broker == broker; });
}

bool InSyncSet::has_enough() const { return size() >= std::min(min_in_sync_, replicas_); }

bool InSyncSet::acknowledged(BrokerId broker, Offset end) {
  for (auto& member : members_) {
    if (member.broker == broker) member.end = std::max(member.end, end);
  }
  return advance();
}

bool InSyncSet::set_members(const std::vector<Member>& members) {
  members_ = members;
  CHECK(contains(leader_), "the leader is in sync with itself");
  return advance();
}

bool InSyncSet::set_min_in_sync(int min_in_sync) {
  min_in_sync_ = min_in_sync;
  return advance();
}

bool InSyncSet::advance() {
  if (!has_enough()) return false;
  Offset least = members_.front().end;
  for (const auto& member : members_) least = std::min(least, member.end);
  // A member that joins behind holds the high watermark where it is; it never falls.
  if (least <= high_watermark_) return false;
  high_watermark_ = least;
  return true;
}

}  // namespace forelog::replication
