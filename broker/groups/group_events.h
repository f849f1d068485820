// group_events.h: what groups do, told to who predicts reads: a join or an assignment announces them by seconds.
//
// One per core. Tells nothing of groups whose protocol the broker does not understand, beyond that they exist.
#pragma once

#include "broker/groups/offsets.h"
#include "broker/prefetch/hint.h"

namespace forelog::groups {

// Where events go (the plan runner and the access log). Must return soon and not call back.
class GroupEventSink {
 public:
  virtual ~GroupEventSink() = default;
  virtual void add(const prefetch::GroupEvent& event) = 0;
  // The topic of that name today; none when there is none. Offsets of such topics are left out of events.
  virtual std::optional<TopicId> id_of(const TopicName& topic) const = 0;
};

class GroupEvents {
 public:
  explicit GroupEvents(GroupEventSink& sink) : sink_(sink) {}

  using ClientPtr = prefetch::ClientPtr;
  // A member asks to join: `claim` has the generation before, with all offsets that the group has committed.
  void joining(const GroupId& group, const MemberClaim& claim, const Offsets& offsets, ClientPtr client);
  // With the committed offset of each partition assigned, where reading will start.
  void synced(const GroupId& group, const MemberClaim& claim, const SyncReply& reply, const Offsets& offsets,
              ClientPtr client);
  void left(const GroupId& group, const MemberClaim& claim, ClientPtr client);

  using Committed = std::vector<std::pair<TopicPartition, Offset>>;
  void fetched(const GroupId& group, const Committed& offsets, ClientPtr client);
  // `by_nobody`: by a client that is no member, in a group that has had members: somebody resets it.
  void committed(const GroupId& group, const MemberClaim& claim, bool by_nobody, const Committed& offsets,
                 ClientPtr client);

 private:
  void add(prefetch::GroupEvent event, const Committed& offsets);
  GroupEventSink& sink_;
};

}  // namespace forelog::groups
