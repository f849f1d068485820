#include "broker/groups/group_events.h"

#include "broker/groups/subscription.h"

#include <utility>

namespace forelog::groups {
namespace {

using Kind = prefetch::GroupEventKind;

prefetch::GroupEvent event_of(Kind kind, const GroupId& group, const MemberClaim& claim, prefetch::ClientPtr client) {
  prefetch::GroupEvent event;
  event.kind = kind;
  event.group = group;
  event.generation = Generation(claim.generation.value());
  event.member = claim.member;
  if (claim.instance) event.instance = claim.instance->value();
  event.client = std::move(client);
  return event;
}

}  // namespace

void GroupEvents::add(prefetch::GroupEvent event, const Committed& offsets) {
  for (const auto& [partition, offset] : offsets) {
    auto topic = sink_.id_of(partition.topic);
    if (!topic) continue;
    auto& to = event.offsets.emplace_back();
    to.partition = {*topic, partition.partition};
    to.offset = offset;
  }
  sink_.add(event);
}

void GroupEvents::joining(const GroupId& group, const MemberClaim& claim, const Offsets& offsets, ClientPtr client) {
  Committed all;
  for (const auto& [partition, committed] : offsets.all()) all.emplace_back(partition, committed.offset);
  add(event_of(Kind::join, group, claim, std::move(client)), all);
}

void GroupEvents::synced(const GroupId& group, const MemberClaim& claim, const SyncReply& reply, const Offsets& offsets,
                         ClientPtr client) {
  Committed assigned;
  if (reply.protocol_type == kConsumerProtocolType) {
    for (auto& partition : partitions_of_assignment(reply.assignment).value_or(std::vector<TopicPartition>{})) {
      const auto* committed = offsets.find(partition);
      assigned.emplace_back(std::move(partition), committed != nullptr ? committed->offset : kNoOffset);
    }
  }
  add(event_of(Kind::sync, group, claim, std::move(client)), assigned);
}

void GroupEvents::left(const GroupId& group, const MemberClaim& claim, ClientPtr client) {
  add(event_of(Kind::leave, group, claim, std::move(client)), {});
}

void GroupEvents::fetched(const GroupId& group, const Committed& offsets, ClientPtr client) {
  add(event_of(Kind::offset_fetch, group, {}, std::move(client)), offsets);
}

void GroupEvents::committed(const GroupId& group, const MemberClaim& claim, bool by_nobody, const Committed& offsets,
                            ClientPtr client) {
  add(event_of(by_nobody ? Kind::reset : Kind::commit, group, claim, std::move(client)), offsets);
}

}  // namespace forelog::groups
